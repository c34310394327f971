package stack_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

// userOf loads a stack in which the ssh user is expr.
func userOf(t *testing.T, expr string) (user, printedErrors string) {
	t.Helper()
	s, src, diags := stack.Load("dir/stack.hcl", stack.Options{
		NeedValues: true,
		Env:        fixtureEnv,
		Home:       "/home/ops",
		ReadFile: files{
			"dir/stack.hcl": `
stack "home" {}
locals { map = { a = "x", b = "y" } }
ssh { user = ` + expr + ` }
proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}`,
			"dir/user":       "beside\n",
			"/abs":           "absolute",
			"/home/ops/user": "home",
			"dir/binary":     "a\xffb",
			"dir/large":      strings.Repeat("x", 256<<10+1),
		}.read,
	})
	if s == nil {
		return "", printed(t, src, diags)
	}
	return s.Proxy.SSH.User, ""
}

func TestFunctions(t *testing.T) {
	for expr, want := range map[string]string{
		`env("EMPTY") == "" ? "empty" : "no"`:                "empty",
		`trimspace(file("user"))`:                            "beside",
		`chomp(file("./user"))`:                              "beside",
		`file("/abs")`:                                       "absolute",
		`file("~/user")`:                                     "home",
		`cidrhost("10.0.0.0/24", 21)`:                        "10.0.0.21",
		`cidrhost("10.0.0.99/24", -2)`:                       "10.0.0.254",
		`replace(cidrhost("2001:db8::/32", 16), ":", "_")`:   "2001_db8__10",
		`lower("ABC")`:                                       "abc",
		`upper("abc")`:                                       "ABC",
		`title("abc")`:                                       "Abc",
		`format("%s-%02d", "a", 7)`:                          "a-07",
		`join("-", formatlist("%s", ["a", "b"]))`:            "a-b",
		`split(",", "a,b")[1]`:                               "b",
		`join("-", concat(["a"], ["b"]))`:                    "a-b",
		`replace("a b", " ", "_")`:                           "a_b",
		`trim("--a--", "-")`:                                 "a",
		`trimprefix("x-a", "x-")`:                            "a",
		`trimsuffix("a-x", "-x")`:                            "a",
		`substr("abcdef", 1, 2)`:                             "bc",
		`startswith("abc", "a") ? "yes" : "no"`:              "yes",
		`endswith("abc", "a") ? "yes" : "no"`:                "no",
		`contains(["a"], "a") ? "yes" : "no"`:                "yes",
		`format("n%d", length("äöü"))`:                       "n3",
		`format("n%d", length(["a", "b"]))`:                  "n2",
		`format("n%d", length(local.map))`:                   "n2",
		`join("-", keys(local.map))`:                         "a-b",
		`join("-", values(merge(local.map, { c = "z" })))`:   "x-y-z",
		`lookup(local.map, "c", "none")`:                     "none",
		`element(["a", "b"], 3)`:                             "b",
		`join("-", sort(distinct(["b", "a", "b"])))`:         "a-b",
		`join("-", compact(["a", "", "b"]))`:                 "a-b",
		`join("-", flatten([["a"], ["b"]]))`:                 "a-b",
		`coalesce(null, "a")`:                                "a",
		`"${tostring(5)}x"`:                                  "5x",
		`tobool("true") && tonumber("1") == 1 ? "ok" : "no"`: "ok",
	} {
		if got, problems := userOf(t, expr); got != want {
			t.Errorf("%s = %q, want %q\n%s", expr, got, want, problems)
		}
	}
}

func TestFunctionErrors(t *testing.T) {
	for expr, want := range map[string]string{
		`env("NOWHERE")`:                         `The environment variable "NOWHERE" is not set.`,
		`file("nowhere")`:                        `The file "nowhere" can't be read: file does not exist.`,
		`file("binary")`:                         `The file "binary" is not UTF-8 text.`,
		`file("large")`:                          `The file "large" can't be read: larger than 256 KiB.`,
		`file(env("OLD_KEY"))`:                   `The file can't be read: file does not exist.`,
		`cidrhost("10.0.0.0", 1)`:                `cidrhost takes a network such as "10.0.0.0/24" first.`,
		`cidrhost("10.0.0.0/24", 1.5)`:           `cidrhost takes a whole number second, of at most 128 bits.`,
		`cidrhost("10.0.0.0/24", 1e999 * 1e999)`: `cidrhost takes a whole number second`,
		`cidrhost("10.0.0.0/24", 256)`:           `The network has no host with that number: it has 256 addresses.`,
		`cidrhost("10.0.0.0/24", -257)`:          `The network has no host with that number: it has 256 addresses.`,
		`length(5)`:                              `length takes text, a list or a map.`,
		`format("%9999d", 1)`:                    `A field of a format is at most 999 characters wide.`,
	} {
		if _, problems := userOf(t, expr); !strings.Contains(strings.Join(strings.Fields(problems), " "), want) {
			t.Errorf("%s: %q is not in:\n%s", expr, want, problems)
		}
	}
}
