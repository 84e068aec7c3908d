package spec

import "strings"

// suggest returns the allowed word that was probably meant, or "". Words are
// compared without regard to case; of equally near ones the first is taken.
func suggest(word string, allowed []string) string {
	if word == "" || len(word) > maxSuggestLength {
		return ""
	}
	// A third of the word may be wrong, but not all of a short one.
	best, limit := "", min(len(word)/3, 3)+1
	for _, candidate := range allowed {
		if len(candidate)-len(word) >= limit || len(word)-len(candidate) >= limit {
			continue
		}
		distance := editDistance(strings.ToLower(word), strings.ToLower(candidate))
		if distance < limit && distance < len(candidate) {
			best, limit = candidate, distance
		}
	}
	return best
}

// maxSuggestLength bounds the work for a word that is no misspelling.
const maxSuggestLength = 64

// editDistance is the Damerau-Levenshtein distance in its restricted form
// (optimal string alignment): insert, delete, replace, swap neighbours.
func editDistance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}

// quoteAll renders words for a sentence: "a", "b" or "c". The conjunction is
// "or" or "and".
func quoteAll(words []string, conjunction string) string {
	var text strings.Builder
	for i, word := range words {
		switch {
		case i > 0 && i == len(words)-1:
			text.WriteString(" " + conjunction + " ")
		case i > 0:
			text.WriteString(", ")
		}
		text.WriteString(`"` + word + `"`)
	}
	return text.String()
}
