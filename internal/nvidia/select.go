package nvidia

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// VisibleVariable is the environment variable with the GPUs that CUDA shows to this process and its children.
const VisibleVariable = "CUDA_VISIBLE_DEVICES"

// Select returns the value of CUDA_VISIBLE_DEVICES that shows only the named devices: "none", or names such as "CUDA1,CUDA0".
// before is its current value, whose first GPU is CUDA0; set reports whether the variable is set. An error begins with the
// quoted names.
func Select(device, before string, set bool) (value string, err error) {
	if device == "none" {
		return "", nil
	}
	shown := strings.Split(before, ",")
	var chosen []string
	for name := range strings.SplitSeq(device, ",") {
		number, ok := strings.CutPrefix(strings.ToUpper(strings.TrimSpace(name)), "CUDA")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || n > 1<<10 {
			return "", fmt.Errorf("%q is not valid; it must be 'auto', 'none' or names that prunellm version --devices lists, such as CUDA0,CUDA1", device)
		}
		if set && (n >= len(shown) || before == "") {
			return "", fmt.Errorf("%q, but %s=%s shows %d", device, VisibleVariable, before, len(slices.DeleteFunc(shown, func(s string) bool { return s == "" })))
		}
		if set {
			number = strings.TrimSpace(shown[n])
		}
		chosen = append(chosen, number)
	}
	return strings.Join(chosen, ","), nil
}
