package prune

import "slices"

// rank returns the neurons from the most to the least important; ties go to the lower index.
func rank(scores []float32) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	return order
}

// Select returns the k most important neurons in ascending order of index; ties go to the lower index.
func Select(scores []float32, k int) []int {
	kept := slices.Clone(rank(scores)[:min(max(k, 0), len(scores))])
	slices.Sort(kept)
	return kept
}
