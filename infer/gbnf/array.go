package gbnf

import (
	"fmt"
	"strconv"
)

// array returns a rule for arrays: the required items of prefixItems, then items.
func (c *converter) array(where string, s *value) (string, error) {
	least, err := bound(where, s, "minItems")
	if err != nil {
		return "", err
	}
	most, err := bound(where, s, "maxItems")
	if err != nil {
		return "", err
	}
	var fixed []string
	if list := s.get("prefixItems"); list != nil {
		if list.kind != '[' {
			return "", errorf(where+"/prefixItems", "must be a list of schemas")
		}
		for i, item := range list.items {
			rule, err := c.value(fmt.Sprintf("%s/prefixItems/%d", where, i), item)
			if err != nil {
				return "", err
			}
			fixed = append(fixed, rule)
		}
	}
	items, more := s.get("items"), len(fixed) == 0
	item := ""
	if items != nil {
		if more = items.kind != 't' || items.truth; more {
			if item, err = c.value(where+"/items", items); err != nil {
				return "", err
			}
		}
	} else if more {
		item = c.use("anyvalue")
	}
	least = max(least, len(fixed))
	if !more && most < 0 {
		most = len(fixed)
	}
	if most >= 0 && most < least || !more && least > len(fixed) {
		return "", errorf(where, "no array has at least %d and at most %d items", least, max(most, len(fixed)))
	}
	return c.rule(c.list(fixed, item, least-len(fixed), most-len(fixed), most < 0)), nil
}

// list returns a rule for an array of the fixed items followed by least to most others, or by any number of others.
func (c *converter) list(fixed []string, item string, least, most int, unlimited bool) string {
	c.use("ws")
	text := `"[" ws `
	for i, rule := range fixed {
		if i > 0 {
			text += `"," ws `
		}
		text += rule + " ws "
	}
	limit := func(less int) string {
		low, high := max(least-less, 0), ""
		if !unlimited {
			high = strconv.Itoa(max(most-less, 0))
		}
		return fmt.Sprintf(`("," ws %s ws){%d,%s}`, item, low, high)
	}
	switch {
	case !unlimited && most == 0:
	case len(fixed) > 0:
		text += limit(0)
	case least > 0:
		text += item + " ws " + limit(1)
	default:
		text += "(" + item + " ws " + limit(1) + ")?"
	}
	return text + ` "]"`
}
