package secret_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/secret"
)

func TestTextsAreMasked(t *testing.T) {
	const odd = "a\"b<c>'d&e\\f é\tg"
	encoded, err := json.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	var texts secret.Texts
	for _, text := range []string{odd, "hunter2", "first line\nsecond line\n", "abcdefgh", "efghijkl", "true", "8080", "", "(secret)"} {
		texts.Add(text)
	}
	for text, want := range map[string]string{
		"hunter2":                      "(secret)",
		"a hunter2, hunter2.":          "a (secret), (secret).",
		"hunter2hunter2":               "(secret)",
		"abcdefghijkl":                 "(secret)", // two that overlap
		"dial hunter…":                 "dial (secret)…",
		"dial \"hunter...\"":           "dial \"(secret)...\"",
		"hunt…":                        "hunt…",
		"true 8080 (secret)":           "true 8080 (secret)",
		"has second line, first line":  "has (secret), (secret)",
		"nothing":                      "nothing",
		odd:                            "(secret)",
		fmt.Sprintf("%q", odd):         `"(secret)"`,
		fmt.Sprintf("%+q", odd):        `"(secret)"`,
		string(encoded):                `"(secret)"`,
		html.EscapeString(odd):         "(secret)",
		"?k=" + url.QueryEscape(odd):   "?k=(secret)",
		"/" + url.PathEscape(odd) + "": "/(secret)",
		"'" + strings.ReplaceAll(odd, "'", `'\''`) + "'": "'(secret)'",
		`"first line\nsecond line"`:                      `"(secret)"`,
	} {
		if got := texts.Mask(text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if got := (&secret.Texts{}).Mask("hunter2"); got != "hunter2" {
		t.Errorf("without secrets: %s", got)
	}
}

// Masking never leaves a secret that is long enough, whatever is around it, and
// masks nothing of a text that has none.
func FuzzTexts(f *testing.F) {
	f.Add("hunter2", "a hunter2 b")
	f.Add("aaaaaa", "aaaaaaaaaaa")
	f.Add("(secre", "((secret)")
	f.Fuzz(func(t *testing.T, key, text string) {
		var texts secret.Texts
		texts.Add(key)
		key = strings.TrimSpace(key)
		for _, around := range []string{text, text + key + text, fmt.Sprintf("%q", key+text)} {
			at := 0
			for _, span := range texts.Find(around) {
				if span[0] < at || span[1] <= span[0] || span[1] > len(around) {
					t.Fatalf("span %v of a text of %d bytes, after %d", span, len(around), at)
				}
				at = span[1]
			}
		}
		if len(key) >= secret.Shortest && !strings.Contains(secret.Mask, key) && len(texts.Find(text+key)) == 0 {
			t.Fatal("a secret is not found")
		}
	})
}
