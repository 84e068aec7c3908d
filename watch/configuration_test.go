package watch

import (
	"os"
	"path/filepath"
	"testing"

	"svc.d/spec"
)

func TestWhatTheLedgerMakesOfConfigurations(t *testing.T) {
	tests := map[string][]moment{
		"one is in force from its first sight, and its removal a second after it": {
			{0, configures("a", "Obey"), " * a Obey", 0},
			{5, configures("a", "Hold"), " * a Hold", 0},
			{10, gone("a"), " * a Hold", 11},
			{10.9, nil, " * a Hold", 11},
			{11, nil, "", 0},
		},
		"one that comes back within the second was never gone": {
			{0, configures("a", "Obey"), " * a Obey", 0},
			{10, gone("a"), " * a Obey", 11},
			{10.5, configures("a", "Obey"), " * a Obey", 0},
			{20, nil, " * a Obey", 0},
		},
		"a broken file keeps its configuration": {
			{0, configures("a", "Obey"), " * a Obey", 0},
			{10, broken("a"), " * a Obey ! a: broken", 0},
			{20, configures("a", "Hold"), " * a Hold", 0},
		},
		"the one in force keeps its place, whatever the order of paths": {
			{0, configures("b", "Obey"), " * b Obey", 0},
			{1, configures("a", "Hold", "web"), "web * b Obey ! a: another one is in force already, of b, which keeps it: there is at most one ReconcilerConfiguration in a directory", 0},
			{2, configures("c", "Hold"), "web * b Obey ! a: another one is in force already, of b, which keeps it: there is at most one ReconcilerConfiguration in a directory" +
				" ! c: another one is in force already, of b, which keeps it: there is at most one ReconcilerConfiguration in a directory", 0},
			{3, says("c", "api"), "api web * b Obey ! a: another one is in force already, of b, which keeps it: there is at most one ReconcilerConfiguration in a directory", 0},
			{10, gone("b"), "api web * a Hold", 0},
			{20, configures("b", "Obey"), "api web * a Hold ! b: another one is in force already, of a, which keeps it: there is at most one ReconcilerConfiguration in a directory", 0},
			{30, gone("b"), "api web * a Hold", 0},
		},
		"who returns after another took over is superfluous": {
			{0, configures("b", "Obey"), " * b Obey", 0},
			{10, gone("b"), " * b Obey", 11},
			{10.5, configures("a", "Hold"), " * a Hold", 0},
			{10.6, configures("b", "Obey"), " * a Hold ! b: another one is in force already, of a, which keeps it: there is at most one ReconcilerConfiguration in a directory", 0},
		},
		"one that is taken out of a file is removed after one second": {
			{0, configures("a", "Obey", "web"), "web * a Obey", 0},
			{10, says("a", "web"), "web * a Obey", 11},
			{11, nil, "web", 0},
		},
		"a file that declares nothing but a configuration any more has its services removed": {
			{0, configures("a", "Obey", "web"), "web * a Obey", 0},
			{10, configures("a", "Obey"), "web * a Obey", 11},
			{11, nil, " * a Obey", 0},
		},
		"a file that declares nothing any more keeps what it did declare": {
			{0, configures("a", "Obey", "web"), "web * a Obey", 0},
			{10, says("a"), `web * a Obey ! a: declares nothing any more, but did declare "web", the ReconcilerConfiguration; remove the file to remove what it declared`, 0},
			{20, gone("a"), "web * a Obey", 21},
			{21, nil, "", 0},
		},
		"it is no service to the guard against mass removal, which does not hold it": {
			{0, says("a", "v", "w", "x"), "v w x", 0},
			{1, says("b", "y", "z"), "v w x y z", 0},
			{2, configures("c", "Hold"), "v w x y z * c Hold", 0},
			{10, gone("a"), "v w x y z * c Hold", 11},
			{11, gone("c"), "v w x y z * c Hold # PruneHeld", 12},
			{12, nil, "v w x y z # PruneHeld", 0},
		},
	}
	for name, story := range tests {
		t.Run(name, func(t *testing.T) { tellStory(t, newLedger(), story) })
	}
}

func TestMassRemovalsAreObeyedWhenTheyAreToBe(t *testing.T) {
	l := newLedger()
	l.obey = true
	tellStory(t, l, []moment{
		{0, says("a", "v", "w", "x", "y", "z"), "v w x y z", 0},
		{10, gone("a"), "v w x y z", 11},
		{11, nil, "", 0},
	})
}

const configurationOf = "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\nprune: "

func prunes(policy spec.PrunePolicy) func(*spec.Set) bool {
	return func(s *spec.Set) bool { return s.Configuration != nil && s.Configuration.Prune == policy }
}

func noConfiguration(s *spec.Set) bool { return s.Configuration == nil }

func TestAConfigurationKeepsItsPointerWhileItMeansTheSame(t *testing.T) {
	x := watchDir(t, sub(t, "web"))
	x.write("main.yaml", configurationOf+"Obey\n")
	before := x.until("it", prunes("Obey")).Configuration
	x.write("main.yaml", "# a comment\n"+configurationOf+"Obey\n")
	x.write("main2.yaml", configurationOf+"Hold\n")
	other := func(s *spec.Set) bool { return s.Configuration != before }
	x.until("the problem", problem("there is at most one"), other)
	must(t, os.Remove(x.path("main2.yaml")))
	x.write("main.yaml", "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\nprun: Hold\n")
	x.until("the broken one", problem("did you mean \"prune\""), other)
	x.write("main.yaml", configurationOf+"Hold\n")
	x.until("the edit", both(prunes("Hold"), noProblem), noConfiguration)
	must(t, os.Rename(x.path("main.yaml"), x.path("moved.yaml")))
	x.until("its file", func(s *spec.Set) bool {
		return s.Configuration != nil && s.Configuration.Source.File == x.path("moved.yaml")
	}, noConfiguration)
	must(t, os.Remove(x.path("moved.yaml")))
	x.until("its removal", noConfiguration)
}

func TestADirectoryThatGoesAwayKeepsItsConfiguration(t *testing.T) {
	dir := sub(t) // it is all that the directory holds
	renameIn(t, filepath.Join(dir, "main.yaml"), configurationOf+"Obey\n")
	x := watchDir(t, dir)
	before := x.set.Configuration
	other := func(s *spec.Set) bool { return s.Configuration != before }
	must(t, os.RemoveAll(dir))
	x.until("the hold", held(ReasonMissing), other)
	must(t, os.Mkdir(dir, 0o755))
	x.until("the hold", held(ReasonReplaced), other)
	fill(t, dir, "web")
	x.until("its removal", both(noConfiguration, noCondition))
}

func TestReadFindsTheConfiguration(t *testing.T) {
	dir := sub(t, "web")
	renameIn(t, filepath.Join(dir, "main.yaml"), configurationOf+"Obey\n")
	s, err := Read([]string{dir}, false, nil)
	must(t, err)
	if !both(has("web"), prunes("Obey"), noProblem)(s) {
		t.Error(show(s))
	}
}
