package calibration

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The openings are valid text of many kinds, and none occurs twice.
func TestOpenings(t *testing.T) {
	const leastOpenings, maxRunes = 60, 300
	list := openings()
	if len(list) < leastOpenings {
		t.Fatalf("%d openings, want at least %d", len(list), leastOpenings)
	}
	kinds, texts := map[string]bool{}, map[string]bool{}
	for _, o := range list {
		if o.kind == "" || kinds[o.kind] {
			t.Errorf("kind %q is empty or occurs twice", o.kind)
		}
		if texts[o.text] {
			t.Errorf("%q: %q occurs twice", o.kind, o.text)
		}
		if err := checkText(o.text); err != nil {
			t.Errorf("%q: %v", o.kind, err)
		}
		if strings.Contains(o.text, openingMark) {
			t.Errorf("%q: %q contains the mark of a kind", o.kind, o.text)
		}
		// A space at the end would be a token of its own, which normal text never has before a word.
		if strings.TrimSpace(o.text) != o.text || utf8.RuneCountInString(o.text) > maxRunes {
			t.Errorf("%q: %q has space around it, or more than %d characters", o.kind, o.text, maxRunes)
		}
		kinds[o.kind], texts[o.text] = true, true
	}
}

// Every opening is used once before any is used again, and any eighth of the order has openings from each quarter of
// the list.
func TestOpeningOrder(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 60, 100, len(openings())} {
		order := openingOrder(n, 7)
		sorted := slices.Sorted(slices.Values(order))
		for i, opening := range sorted {
			if i != opening {
				t.Fatalf("openingOrder(%d) = %v, want each once", n, order)
			}
		}
		if len(order) != n {
			t.Fatalf("openingOrder(%d) has the entry %d", n, len(order))
		}
	}
	n := len(openings())
	order := openingOrder(n, 3)
	for from := 0; from+n/8 <= n; from++ {
		quarters := map[int]bool{}
		for _, opening := range order[from : from+n/8] {
			quarters[4*opening/n] = true
		}
		if len(quarters) != 4 {
			t.Errorf("texts %d to %d are from %d quarters of the list, want 4", from, from+n/8, len(quarters))
		}
	}
	if slices.Equal(openingOrder(n, 1), openingOrder(n, 2)) && slices.Equal(openingOrder(n, 2), openingOrder(n, 3)) {
		t.Error("three seeds give the same order")
	}
	if !slices.Equal(openingOrder(n, 1), openingOrder(n, 1)) {
		t.Error("the same seed gives two orders")
	}
}

// The texts of each kind are numbered from 0 without gaps, so that no entry of a list is skipped.
func TestBeginning(t *testing.T) {
	const texts = 50
	next := map[beginningKind]int{}
	for text := range texts {
		kind, nth := beginning(beginnings(), text)
		if nth != next[kind] {
			t.Errorf("beginning of text %d = %v, %d, want number %d", text, kind, nth, next[kind])
		}
		next[kind]++
	}
	for _, kind := range []beginningKind{beginOpening, beginRequest, beginChat} {
		if next[kind] < texts/8 {
			t.Errorf("%d of %d texts are of kind %v, want more", next[kind], texts, kind)
		}
	}
}

// Every request is one line, and none occurs twice.
func TestRequests(t *testing.T) {
	const leastRequests = 30
	list, seen := requests(), map[string]bool{}
	if len(list) < leastRequests {
		t.Errorf("%d requests, want at least %d", len(list), leastRequests)
	}
	for _, request := range list {
		if checkText(request) != nil || strings.TrimSpace(request) != request || seen[request] {
			t.Errorf("request %q is empty, has space around it or occurs twice", request)
		}
		seen[request] = true
	}
}
