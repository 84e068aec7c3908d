package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"svc.d/status"
)

// completionPatience is how long a person who has pressed the tab key waits.
const completionPatience = 500 * time.Millisecond

// completeNames completes names of services and, where replicas are meant, theirs; what
// stands before a slash says which. It is silent when there is no daemon.
func (a *app) completeNames(replicas bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, start string) ([]string, cobra.ShellCompDirective) {
		word, _, prefixed := strings.Cut(start, "/")
		k, prefix := kindAny, ""
		if prefixed {
			k, _ = kindOf(word)
			prefix = word + "/"
		}
		var names []string
		for _, s := range a.knownServices(cmd.Context()) {
			if k == kindServices || !prefixed {
				names = append(names, prefix+s.Metadata.Name)
			}
			for i := range s.Status.ReplicaStatuses {
				if k == kindReplicas || replicas && !prefixed {
					names = append(names, prefix+s.Status.ReplicaStatuses[i].Name)
				}
			}
		}
		return without(names, given), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeGet completes the word for a kind, too.
func (a *app) completeGet(cmd *cobra.Command, given []string, start string) ([]string, cobra.ShellCompDirective) {
	names, directive := a.completeNames(len(given) > 0 && kindWords[given[0]] == kindReplicas)(cmd, given, start)
	if len(given) == 0 {
		names = append([]string{"services", "replicas", "events", "config"}, names...)
	}
	return names, directive
}

func (a *app) knownServices(ctx context.Context) []status.Service {
	client, err := a.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	list, err := client.Services(ctx)
	if err != nil {
		return nil
	}
	return list.Items
}

// without leaves out what stands on the command line already.
func without(names, given []string) []string {
	seen := map[string]bool{}
	for _, g := range given {
		seen[plainName(g)], seen[g] = true, true
	}
	var left []string
	for _, name := range names {
		if !seen[name] {
			left, seen[name] = append(left, name), true
		}
	}
	return left
}

// completeWords completes the value of a flag.
func completeWords(cmd *cobra.Command, flag string, words ...cobra.Completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that there is not: each command is made in the tests
	}
}
