package tinymodel

import "prunellm/models/arch"

// PerArchitecture returns two models of every row of package arch, by a name for subtests. One is tied, and its layers differ in
// width if the architecture allows that. The other is untied, and its heads are wider than Hidden/Heads if the architecture
// allows that. Tests that iterate over the models cover a new row without a change.
func PerArchitecture() map[string]Options {
	models := map[string]Options{}
	for _, row := range arch.Rows() {
		tied := Options{Architecture: row.Name}
		if row.PerLayer == row.Name {
			tied.FFN = []int{96, 32}
		}
		models[row.Name] = tied
		if row.TiedOnly {
			continue
		}
		untied := Options{Architecture: row.Name, Untied: true}
		if !row.HiddenHeads {
			untied.HeadDim = 32
		}
		models[row.Name+" untied"] = untied
	}
	return models
}
