package desired_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/relay"
)

var (
	presentHash = strings.Repeat("3", 64)
	nextHash    = strings.Repeat("5", 64)
	nextID      = plan.ID{Kind: plan.KindSecret, Name: plan.SecretWorkerNext}
)

// rotated is what the state of one worker's secret comes to.
type rotated struct {
	Hashes []string // that the relay takes; none: not known yet
	Used   string   // secret in the worker's own file
	Keeps  []string // secrets on its host; one that takes over, with an arrow
}

// What each stage comes to from each state that a rotation can be found in,
// which is every state that an end at any moment can leave.
func TestRotation(t *testing.T) {
	keep, begin, change, end := desired.RotateKeep, desired.RotateBegin, desired.RotateSwitch, desired.RotateEnd
	both, one := []string{presentHash, nextHash}, []string{presentHash}
	for name, row := range map[string]struct {
		next, file string // next: made; file: what it holds
		stage      desired.Rotation
		want       rotated
	}{
		"nothing begun":          {"", "present", keep, rotated{one, "worker", []string{"worker"}}},
		"to begin":               {"", "present", begin, rotated{one, "worker", []string{"worker", "worker.next"}}},
		"begun, kept":            {nextHash, "present", keep, rotated{both, "worker", []string{"worker", "worker.next"}}},
		"begun":                  {nextHash, "present", begin, rotated{both, "worker", []string{"worker", "worker.next"}}},
		"to switch":              {nextHash, "present", change, rotated{both, "worker.next", []string{"worker", "worker.next"}}},
		"switched, kept":         {nextHash, "next", keep, rotated{both, "worker.next", []string{"worker", "worker.next"}}},
		"switched, begun anew":   {nextHash, "next", begin, rotated{both, "worker.next", []string{"worker", "worker.next"}}},
		"file edited, kept":      {nextHash, "nonsense", keep, rotated{both, "worker", []string{"worker", "worker.next"}}},
		"to end":                 {nextHash, "next", end, rotated{both, "worker.next", []string{"worker<-worker.next"}}},
		"ended, nothing is left": {"", "present", end, rotated{one, "worker", []string{"worker"}}},
	} {
		in := input(t, readCase(t, "testdata/prepared.txtar"))
		in.Rotate = map[string]desired.Rotation{"gpu-1": row.stage}
		if row.next != "" {
			add(in, "gpu-1", plan.Fact{ID: nextID, Exists: true, Have: map[string]string{plan.AttrPublic: row.next, plan.AttrMAC: "hmac:next"}})
		}
		digest := map[string]string{"present": "hmac:secret-of-gpu-1", "next": "hmac:next", "nonsense": "hmac:x"}[row.file]
		add(in, "gpu-1", plan.Fact{ID: fileID("/etc/relay/worker.secret"), Exists: true, Have: map[string]string{plan.AttrContent: digest}})
		if diff := cmp.Diff(row.want, rotatedTo(t, in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func rotatedTo(t *testing.T, in desired.Input) rotated {
	t.Helper()
	var got rotated
	hosts := build(t, in)
	entry := find(t, hosts, "edge", fileID("/etc/relay/workers.d/gpu-1.json"))
	var file struct{ Hashes []string }
	if err := json.Unmarshal(hosts[0].Blobs[entry.Want[plan.AttrContent].Text].Reveal(), &file); err != nil {
		t.Fatal(err)
	}
	got.Hashes = file.Hashes
	for _, r := range hosts[1].Want {
		switch {
		case r.ID == fileID("/etc/relay/worker.secret"):
			got.Used = r.From.Name
		case r.Kind == plan.KindSecret && r.From != nil:
			got.Keeps = append(got.Keeps, r.Name+"<-"+r.From.Name)
		case r.Kind == plan.KindSecret:
			got.Keeps = append(got.Keeps, r.Name)
		}
	}
	return got
}

// A worker that can't be reached keeps all the hashes that the relay has.
func TestRotationOfAWorkerOutOfReach(t *testing.T) {
	in := input(t, readCase(t, "testdata/prepared.txtar"))
	delete(in.Hosts, "gpu-1")
	path := fileID("/etc/relay/workers.d/gpu-1.json")
	content := []byte(`{"hashes":["` + presentHash + `","` + nextHash + `"]}`)
	add(in, "edge", plan.Fact{ID: path, Exists: true, Content: content, Applied: &plan.Applied{ID: path}})
	hosts := build(t, in)
	text := string(hosts[0].Blobs[find(t, hosts, "edge", path).Want[plan.AttrContent].Text].Reveal())
	if !strings.Contains(text, presentHash) || !strings.Contains(text, nextHash) {
		t.Errorf("a hash is gone:\n%s", text)
	}
}

func TestRotationOf(t *testing.T) {
	for name, row := range map[string]struct {
		next    string
		entry   []string
		want    desired.Rotating
		pending bool
	}{
		"none":               {"", []string{presentHash}, desired.Rotating{Present: presentHash}, false},
		"begun":              {nextHash, []string{presentHash}, desired.Rotating{Present: presentHash, Next: nextHash}, true},
		"ended, not revoked": {"", []string{nextHash, presentHash}, desired.Rotating{Present: presentHash, Former: []string{nextHash}}, true},
	} {
		in := input(t, readCase(t, "testdata/prepared.txtar"))
		if row.next != "" {
			add(in, "gpu-1", plan.Fact{ID: nextID, Exists: true, Have: map[string]string{plan.AttrPublic: row.next}})
		}
		path := fileID("/etc/relay/workers.d/gpu-1.json")
		content, err := json.Marshal(map[string]any{"hashes": row.entry})
		if err != nil {
			t.Fatal(err)
		}
		add(in, "edge", plan.Fact{ID: path, Exists: true, Content: content, Applied: &plan.Applied{ID: path}})
		got := desired.RotationOf(in, "gpu-1")
		if diff := cmp.Diff(row.want, got); diff != "" || got.Unfinished() != row.pending {
			t.Errorf("%s: unfinished is %t (-want +got)\n%s", name, got.Unfinished(), diff)
		}
	}
}

// A replaced key stays in the relay's file, with its end, until that is past
// by the clock of the proxy host.
func TestFormerKeys(t *testing.T) {
	until := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	former := strings.Repeat("6", 64)
	for clock, want := range map[time.Time][]relay.FormerKey{
		until.Add(-time.Hour): {{Hash: former, Expires: "2026-11-23T12:00:00Z"}},
		until:                 nil,
		until.Add(time.Hour):  nil,
	} {
		in := input(t, readCase(t, "testdata/prepared.txtar"))
		seen := in.Hosts["edge"]
		seen.Facts.Machine.Clock = clock.Format(time.RFC3339)
		in.Hosts["edge"] = seen
		setFact(in, "edge", laptop, plan.AttrFormer, former+"@"+until.Format(time.RFC3339))
		settings, err := relay.LoadSettings(filepath.Join(onDisk(t, build(t, in)[0]), "etc/relay"))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range settings.Keys {
			if key.Name != "laptop" {
				continue
			}
			if diff := cmp.Diff(want, key.Former); diff != "" {
				t.Errorf("at %s (-want +got):\n%s", clock, diff)
			}
		}
	}
}
