package tinymodel

import "prunellm/models/arch"

// PerArchitecture returns two models of every row of package arch, by a name for subtests: a tied one, whose layers
// differ in width where the architecture allows that, and an untied one, with heads wider than Hidden/Heads where the
// architecture allows those. Tests that iterate over the models cover a new row without a change.
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
