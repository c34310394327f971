package desired_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
)

var update = flag.Bool("update", false, "write what comes out as what is wanted")

// cases lists the golden cases; there are some.
func cases(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	return paths
}

// What a stack and facts come to: want/HOST lists the resources, and
// want/HOST/PATH is the content of a file that is no secret.
func TestBuild(t *testing.T) {
	for _, path := range cases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive := readCase(t, path)
			isWant := func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want/") }
			want := slices.DeleteFunc(slices.Clone(archive.Files), func(f txtar.File) bool { return !isWant(f) })
			var got []txtar.File
			for _, h := range build(t, input(t, archive)) {
				got = append(got, describe(h)...)
			}
			if *update {
				archive.Files = append(slices.DeleteFunc(archive.Files, isWant), got...)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(texts(want), texts(got)); diff != "" {
				t.Error("(-want +got; -update writes it)\n" + diff)
			}
		})
	}
}

func texts(files []txtar.File) map[string]string {
	m := map[string]string{}
	for _, f := range files {
		m[f.Name] = string(f.Data)
	}
	return m
}

func describe(h desired.Host) []txtar.File {
	var list strings.Builder
	fmt.Fprintf(&list, "%s at %s\n", h.Role, h.Address)
	var files []txtar.File
	for _, r := range h.Want {
		describeResource(&list, r)
		content := r.Want[plan.AttrContent]
		if r.Kind == plan.KindFile && content.IsKnown() && !r.Sensitive {
			files = append(files, txtar.File{Name: "want/" + h.Name + r.Name, Data: h.Blobs[content.Text].Reveal()})
		}
	}
	for _, p := range h.Ports {
		fmt.Fprintf(&list, "port %s:%d for %s, asked for by %s\n", p.Addr, p.Number, p.Unit, at(p.Origin))
	}
	return append([]txtar.File{{Name: "want/" + h.Name, Data: []byte(list.String())}}, files...)
}

func describeResource(w *strings.Builder, r plan.Resource) {
	fmt.Fprintf(w, "%s, asked for by %s\n", r.ID, at(r.Origin))
	for _, name := range slices.Sorted(maps.Keys(r.Want)) {
		value := r.Want[name].Text
		if !r.Want[name].IsKnown() {
			value = "made on " + r.Want[name].MadeOn
		}
		fmt.Fprintf(w, "\t%s %s\n", name, value)
	}
	for _, id := range r.After {
		fmt.Fprintf(w, "\tafter %s\n", id)
	}
	if r.Sensitive {
		fmt.Fprintf(w, "\tsensitive\n")
	}
	if r.From != nil {
		fmt.Fprintf(w, "\tfrom %s\n", r.From)
	}
	if r.Check != "" {
		fmt.Fprintf(w, "\tcheck %s\n", r.Check)
	}
	if r.Unit != nil {
		describeUnit(w, r.Unit)
	}
}

func describeUnit(w *strings.Builder, u *plan.Unit) {
	if u.Program != nil {
		fmt.Fprintf(w, "\truns %s\n", u.Program)
	}
	for _, id := range u.Restart {
		fmt.Fprintf(w, "\trestart on %s\n", id)
	}
	for _, id := range u.Reload {
		fmt.Fprintf(w, "\treload on %s\n", id)
	}
	for _, path := range u.Settings {
		fmt.Fprintf(w, "\tpublishes %s\n", path)
	}
	if u.Lifecycle != "" {
		fmt.Fprintf(w, "\tlives as %s\n", u.Lifecycle)
	}
	if u.Drain != "" {
		fmt.Fprintf(w, "\tdrains %s\n", u.Drain)
	}
}

func at(o plan.Origin) string { return fmt.Sprintf("%s:%d %s", o.File, o.Line, o.Block) }

// Everything whose content is known can be brought, and under its own digest.
func TestBlobsAreWhatResourcesNeed(t *testing.T) {
	for _, path := range cases(t) {
		in := input(t, readCase(t, path))
		for _, h := range build(t, in) {
			needed := map[string]bool{}
			for _, r := range h.Want {
				attr := map[plan.Kind]string{plan.KindFile: plan.AttrContent, plan.KindProgram: plan.AttrDigest}[r.Kind]
				digest, ok := r.Want[attr]
				if !ok || !digest.IsKnown() || r.From != nil {
					continue
				}
				needed[digest.Text] = true
				blob, ok := h.Blobs[digest.Text]
				switch {
				case !ok:
					t.Errorf("%s: nothing brings %s to %s", path, r.ID, h.Name)
				case r.Kind == plan.KindProgram && blob.Program() != r.Name:
					t.Errorf("%s: %s brings %s", path, blob, r.ID)
				case r.Kind == plan.KindFile && r.Sensitive != strings.HasPrefix(digest.Text, plan.MACPrefix):
					t.Errorf("%s: sensitive is %t for %s with %s", path, r.Sensitive, r.ID, digest.Text)
				case r.Kind == plan.KindFile && !r.Sensitive && plan.Digest(blob.Reveal()) != digest.Text:
					t.Errorf("%s: content of %s has another digest", path, r.ID)
				}
			}
			if len(needed) != len(h.Blobs) {
				t.Errorf("%s: %d blobs for %s, which needs %d", path, len(h.Blobs), h.Name, len(needed))
			}
		}
	}
}

// Looking without facts asks after everything that is wanted once there are
// some, and the same input gives the same output.
func TestResourcesDoNotDependOnFacts(t *testing.T) {
	for _, path := range cases(t) {
		in := input(t, readCase(t, path))
		blind := in
		blind.Hosts = nil
		if diff := cmp.Diff(ids(build(t, in)), ids(build(t, blind))); diff != "" {
			t.Errorf("%s: (-with facts +without)\n%s", path, diff)
		}
		if diff := cmp.Diff(fmt.Sprint(build(t, in)), fmt.Sprint(build(t, in))); diff != "" {
			t.Errorf("%s: two builds differ\n%s", path, diff)
		}
	}
}

func ids(hosts []desired.Host) map[string][]plan.ID {
	list := map[string][]plan.ID{}
	for _, h := range hosts {
		for _, r := range h.Want {
			list[h.Name] = append(list[h.Name], r.ID)
		}
	}
	return list
}
