package main

import (
	"testing"

	"prunellm/internal/calibration"
	"prunellm/internal/variant"
)

// A training reads the calibration file if there is one. Otherwise it reads text that the model writes, because the general
// text is too short to train on.
func TestTrainingText(t *testing.T) {
	general, err := calibration.Find(calibration.GeneralName)
	if err != nil {
		t.Fatal(err)
	}
	auto, err := calibration.Find(calibration.Auto)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		identity, file string
		source         string
		tokens         int
	}{
		{general.Identity, "", calibration.Self().Identity, selfRecoveryTokens},
		{calibration.Self().Identity, "", calibration.Self().Identity, selfRecoveryTokens},
		{"sha256:1", "/text.txt", "sha256:1", fileRecoveryTokens},
		{"mixture-1", "/text.txt=1,general=1", "mixture-1", fileRecoveryTokens},
		{auto.Identity, auto.File, calibration.Self().Identity, selfRecoveryTokens},
	} {
		var spec variant.Spec
		spec.Recipe.Calibration, spec.Calibration.File = test.identity, test.file
		r := (&recoveryFlags{}).recovery(spec, 1, 0, 1024)
		if r.Source != test.source || r.TextTokens != test.tokens || test.source == test.identity && r.Text.File != test.file {
			t.Errorf("with calibration text %q, %q the training reads %d tokens of %q, %q, want %d of %q", test.identity, test.file, r.TextTokens, r.Source,
				r.Text.File, test.tokens, test.source)
		}
	}
}
