package stack_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/stack"
)

// whole is a stack file that is good.
const whole = `stack "home" {}
proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}
worker "gpu-1" {
  address = "10.0.0.21"
  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
  }
}
api_key "laptop" {}
`

// notHCL heads what is said of a line that no HCL begins with.
const notHCL = "Argument or block definition required"

// wide writes a text as UTF-16.
func wide(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func swap(old, new string) string { return strings.Replace(whole, old, new, 1) }

// A file that is wrong as a whole, or from one place on, has one error: the
// one that explains the others. Line 0 has no place in the file.
func TestOneCauseIsOneError(t *testing.T) {
	for name, c := range map[string]struct {
		text, summary string
		line          int
		advice        string
	}{
		"UTF-16 LE":              {wide(binary.LittleEndian, "\ufeff"+whole), "Not UTF-8", 0, "may be UTF-16"},
		"UTF-16 BE":              {wide(binary.BigEndian, "\ufeff"+whole), "Not UTF-8", 0, "may be UTF-16"},
		"UTF-16 LE without mark": {wide(binary.LittleEndian, whole), "Not UTF-8", 0, "may be UTF-16"},
		"UTF-16 BE without mark": {wide(binary.BigEndian, whole), "Not UTF-8", 0, "may be UTF-16"},
		"UTF-32":                 {"\xff\xfe\x00\x00s\x00\x00\x00", "Not UTF-8", 0, "stack.hcl is not UTF-8"},
		"Latin-1 in a text":      {swap("llm.example.com", "b\xfcro.example.com"), "Not UTF-8", 4, "or Latin-1"},
		"Latin-1 in a name":      {swap("address", "addr\xe9ss"), "Not UTF-8", 3, "or Latin-1"},
		"ELF":                    {"\x7fELF\x02\x01\x01\x00" + strings.Repeat("\x00\xff", 4000), "Not UTF-8", 0, "no text at all"},
		"gzip":                   {"\x1f\x8b\x08\x00abc\xff\n\n\n", "Not UTF-8", 0, "no text at all"},
		"image":                  {"\x89PNG\r\n\x1a\n\x00", "Not UTF-8", 0, "no text at all"},
		"zero byte":              {swap("gpu-1", "gpu\x00-1"), "Not UTF-8", 0, "no text at all"},
		"web page":               {"\n<!DOCTYPE html>\n<html>\n<body>stack &quot;home&quot; {}\n", notHCL, 2, "other languages"},
		"XML":                    {"<?xml version=\"1.0\"?>\n<a>\n", notHCL, 1, "other languages"},
		"JSON":                   {"{\n  \"stack\": {\"home\": {}},\n  \"proxy\": {}\n}\n", notHCL, 1, "JSON, YAML"},
		"JSON list":              {"[\n  {\"stack\": {}}\n]\n", notHCL, 1, "JSON, YAML"},
		"YAML":                   {"---\nstack: home\nproxy:\n  edge:\n    address: x\n", notHCL, 1, "JSON, YAML"},
		"YAML behind a comment":  {"# mine\nstack: home\nproxy:\n  address: x\n", notHCL, 2, "JSON, YAML"},
		"CR only":                {strings.ReplaceAll(whole, "\n", "\r"), "Invalid character", 1, "not used"},
		"curly quotes":           {strings.NewReplacer(` "`, " “", `" `, "” ").Replace(whole), "Invalid character", 1, "Curly quotes"},
		"single quotes":          {strings.ReplaceAll(whole, `"`, "'"), "Invalid character", 1, "Single quotes"},
		"no-break spaces":        {strings.ReplaceAll(whole, "  ", " \u00a0"), "Invalid character", 3, "not used"},
		"space of no width":      {swap("proxy", "\u200bproxy"), "Invalid character", 2, "not used"},
		"dash for a hyphen":      {swap("\"gpu-1\"", "gpu–1"), "Invalid character", 7, "not used"},
		"merge conflict":         {swap("  domain  =", "<<<<<<< HEAD\n  domain = \"a\"\n=======\n  domain = \"b\"\n>>>>>>> main\n  domain  ="), notHCL, 4, "<<<<<<< HEAD"},
		"patch":                  {"diff --git a/stack.hcl b/stack.hcl\n--- a/stack.hcl\n+++ b/stack.hcl\n@@ -1,3 +1,3 @@\n " + strings.ReplaceAll(whole, "\n", "\n "), notHCL, 1, "diff --git"},
		"outer brace":            {swap("{}\n}\nworker", "{}\nworker"), "Unclosed configuration block", 2, "no closing brace"},
		"inner brace":            {swap("\"internal\" {}", "\"internal\" {"), "Unclosed configuration block", 2, "no closing brace"},
		"brace too many":         {swap("api_key", "}\napi_key"), notHCL, 13, ""},
		"brace at another place": {swap("{}\n}\nworker", "{}\nworker") + "}\n", "Block inside another", 6, "Is a } missing"},
		"quote":                  {swap("203.0.113.10\"", "203.0.113.10"), "Invalid multi-line string", 3, "A quote is missing"},
		"quote before":           {swap("\"203.0.113.10", "203.0.113.10"), "Invalid multi-line string", 3, "A quote is missing"},
		"text in lines":          {swap("\"10.0.0.21\"", "<<EOT\n10.0.0.21"), "Unterminated template string", 15, "a line of its own"},
		"prose":                  {"This is my stack.\nIt has a proxy, and two workers.\n", "Invalid block definition", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, src, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": c.text}.read})
			isOneError(t, src, diags, c.summary, c.line, c.advice)
		})
	}
}

func isOneError(t *testing.T, src *stack.Sources, diags hcl.Diagnostics, summary string, line int, advice string) {
	t.Helper()
	all := printed(t, src, diags)
	if len(diags) != 1 || diags[0].Summary != summary || diags[0].Subject == nil && line != 0 || diags[0].Subject != nil && diags[0].Subject.Start.Line != line {
		t.Errorf("want one error, %q on line %d:\n%s", summary, line, all)
	}
	if !strings.Contains(all, advice) && !strings.Contains(strings.Join(strings.Fields(all), " "), advice) {
		t.Errorf("%q is not in:\n%s", advice, all)
	}
}

// What is no mistake is read: marks, line ends and tabs as editors leave them,
// and Latin-1 in a comment.
func TestTextsOfAllEditorsAreRead(t *testing.T) {
	const ends = "stack \"home\" {}\nproxy \"edge\" {\n  domain = \"a\"\n  address = \"b\"\n  tls \"internal\" {}\n}"
	for name, text := range map[string]string{
		"byte order mark":    "\ufeff" + whole,
		"CRLF":               strings.ReplaceAll(whole, "\n", "\r\n"),
		"mixed":              strings.Replace(whole, "\n", "\r\n", 3),
		"tabs":               strings.ReplaceAll(whole, "  ", "\t"),
		"no line end":        ends,
		"Latin-1 in comment": "# B\xfcro\n" + whole,
		"conflict in a text": whole + "variable \"a\" {\n  default = <<EOT\n<<<<<<< HEAD\nEOT\n}\n",
	} {
		if _, src, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": text}.read}); len(diags) > 0 {
			t.Errorf("%s:\n%s", name, printed(t, src, diags))
		}
	}
}

// The same of files of variables, of which no value is shown.
func TestOneCauseIsOneErrorInAVarFile(t *testing.T) {
	const key = "hunter2hunter2"
	const good = "user = \"" + key + "\"\nport = 22\n"
	for name, c := range map[string]struct {
		text, summary string
		line          int
		advice        string
	}{
		"UTF-16":          {wide(binary.LittleEndian, "\ufeff"+good), "Not UTF-8", 0, "my vars is not UTF-8 text"},
		"gzip":            {"\x1f\x8b\x08\x00" + key, "Not UTF-8", 0, "no text at all"},
		"JSON":            {"{\n\"user\": \"" + key + "\",\n\"port\": 22\n}\n", notHCL, 1, "NAME = VALUE"},
		"YAML":            {"user: " + key + "\nport: 22\n", notHCL, 1, "NAME = VALUE"},
		"web page":        {"<!doctype html>\n<p>" + key, notHCL, 1, "NAME = VALUE"},
		"curly quotes":    {"user = “" + key + "”\nport = “22”\n", "Invalid character", 1, "straight double quotes"},
		"quote":           {"user = \"" + key + "\nport = 22\nx = 1\n", "Invalid multi-line string", 1, "text stands in"},
		"stack file":      {whole, "Unsupported block", 1, "Is this a stack file"},
		"no quotes":       {"user = " + key + "\n", "Invalid value", 1, "Text stands in quotes"},
		"no quotes at in": {"user = " + key + " and more\nport = 22\n", "Missing newline after argument", 1, "text stands in"},
		"conflict":        {"<<<<<<< HEAD\nuser = \"" + key + "\"\n=======\n>>>>>>> main\n", notHCL, 1, "NAME = VALUE"},
	} {
		t.Run(name, func(t *testing.T) {
			_, src, diags := stack.Load("stack.hcl", stack.Options{
				VarFiles: []string{"my vars"}, ReadFile: files{"stack.hcl": withVariables, "my vars": c.text}.read,
			})
			isOneError(t, src, diags, c.summary, c.line, c.advice)
			if all := printed(t, src, diags); strings.Contains(all, key) {
				t.Errorf("shows the value:\n%s", all)
			}
		})
	}
}

// Files of variables that tools and editors write are read: with a byte order
// mark, with CRLF, and with a text in lines at the very end.
func TestVarFilesOfAllEditorsAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark": "\ufeffuser = \"ops\"\n", "CRLF": "user = \"ops\"\r\nport = 22\r\n", "empty": "", "no line end": "user = \"ops\"",
		"text in lines": "user = \"ops\"\nkey = <<EOT\nx\nEOT",
	} {
		_, src, diags := stack.Load("stack.hcl", stack.Options{
			VarFiles: []string{"vars"}, ReadFile: files{"stack.hcl": strings.Replace(withVariables, "= var.key", "= chomp(coalesce(var.key, env(\"KEY\")))", 1), "vars": text}.read,
		})
		if len(diags) > 0 {
			t.Errorf("%s:\n%s", name, printed(t, src, diags))
		}
	}
}

func TestFolderAsStackFile(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "my stack")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	_, src, diags := stack.Load(folder, stack.Options{})
	isOneError(t, src, diags, "Can't read file", 0, "my stack can't be read: is a directory.")
}
