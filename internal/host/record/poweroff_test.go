package record_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// content is the journal as it stands on the disk.
func (s *story) content() string {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.folder, record.Name))
	s.must(err)
	return string(content)
}

// holding is a story whose journal is a text.
func holding(t *testing.T, text string) *story {
	t.Helper()
	s := &story{t: t, folder: t.TempDir(), stands: map[plan.ID]string{}}
	s.must(os.WriteFile(filepath.Join(s.folder, record.Name), []byte(text), 0o600))
	return s
}

// A file system that had written down the length of the file before its content
// leaves NULs where lines were that were not synced: at the end, or before the
// last of them.
func TestNULsAfterAPowerFailure(t *testing.T) {
	s := begin(t)
	s.apply()
	s.put(fileID("/a"), "one")
	s.end() // synced
	synced := s.content()
	s.apply()
	s.starts(fileID("/b"), "two") // synced
	begun := s.content()
	s.ends(fileID("/b"), "two")
	s.starts(fileID("/c"), "three")
	ended := s.content()
	nuls := strings.Repeat("\x00", 700)
	for _, row := range []struct {
		name, left, whole string
	}{
		{"at the end", begun + nuls, begun},
		{"at the end, with a part of a line", begun + `{"at":"2026-11-` + nuls, begun},
		{"before the last line", begun + strings.Repeat("\x00", 300) + ended[len(begun)+300:], begun},
		{"in the place of whole lines", begun + nuls + "\n" + nuls, begun},
		{"in the first line of an apply", synced + nuls + begun[len(begun)-200:], synced},
	} {
		t.Run(row.name, func(t *testing.T) {
			torn, whole := holding(t, row.left), holding(t, row.whole)
			j, err := record.Read(torn.folder)
			if err != nil {
				t.Fatal(err)
			}
			want, err := record.Read(whole.folder)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tell(t, want, 0), tell(t, j, 0)); diff != "" {
				t.Error(diff)
			}
			torn.open()
			torn.apply()
			torn.put(fileID("/z"), "after")
			torn.end()
			if again, err := record.Read(torn.folder); err != nil || again.Entry(fileID("/z")) == nil {
				t.Errorf("written on: %v", err)
			}
		})
	}
}

// NULs before something that was surely on the disk are no leftover of a crash:
// the disk is failing, and nothing is thrown away.
func TestNULsInTheMiddle(t *testing.T) {
	s := begin(t)
	s.write(rand.New(rand.NewPCG(1, 1)), 6, func() {})
	text := s.content()
	at := strings.Index(text, "\n") + 1
	torn := holding(t, text[:at]+strings.Repeat("\x00", 300)+text[at+300:])
	if _, err := record.Read(torn.folder); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("read a damaged journal: %v", err)
	}
}

// A newer relayctl may say the same words otherwise: it is newer, not damaged.
func TestNewerInOtherWords(t *testing.T) {
	for _, text := range []string{
		`{"checkpoint":{"schema":3,"oldest":"none","manifest":{"stack":"home","version":"9.0.0","resources":{}}}}` + "\n",
		`{"checkpoint":{"schema":3}}` + "\n" + `{"change":["other"]}` + "\n" + `{"change":{}}` + "\n",
		`{"checkpoint":{"schema":3}}` + "\n" + "not JSON at all\n" + "\n",
	} {
		j, err := record.Read(holding(t, text).folder)
		if err != nil || !j.IsNewer() {
			t.Errorf("%q: newer %v, %v", text, j != nil && j.IsNewer(), err)
		}
	}
}

// What stands in the place of the journal and is no file is told, and holds
// nobody up.
func TestNoFile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a loop":   func(path string) error { return os.Symlink(path, path) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := make(filepath.Join(folder, record.Name)); err != nil {
				t.Fatal(err)
			}
			read := func() error { _, err := record.Read(folder); return err }
			mustEnd(t, read)
		})
	}
}

// mustEnd holds that something fails, and soon.
func mustEnd(t *testing.T, do func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it went well")
		}
	case <-time.After(2 * time.Second):
		t.Error("it waits")
	}
}

// long makes a journal longer than any other file that the tests write while
// there seems to be no room.
var long = strings.Repeat("x", 1<<20)

// The end of a disk comes in the middle of a line: what was before counts, and
// once there is room all goes on.
func TestFullDisk(t *testing.T) {
	s := begin(t)
	s.apply()
	s.put(fileID("/a"), long)
	s.end()
	s.apply()
	before := tell(t, s.Journal, 0)
	var was syscall.Rlimit
	s.must(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	full := syscall.Rlimit{Cur: uint64(len(s.content()) + 100), Max: was.Max}
	s.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full))
	failed := s.Change(record.Change{ID: fileID("/" + strings.Repeat("b", 500)), Action: plan.Create})
	short := s.Load(record.Loaded{Unit: "x"}) // fits
	s.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was))
	if failed == nil {
		t.Fatal("a change was written to a full disk")
	}
	t.Logf("a short line after that: %v", short)
	again, err := record.Read(s.folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tell(t, again, 0)); diff != "" {
		t.Error(diff)
	}
	s.open()
	s.put(fileID("/c"), "three")
	s.end()
	if again, err := record.Read(s.folder); err != nil || again.Entry(fileID("/c")) == nil {
		t.Errorf("written on: %v", err)
	}
}

// A disk that is full when the oldest applies are folded leaves the journal as
// it was, and nothing beside it.
func TestCompactOnAFullDisk(t *testing.T) {
	s := begin(t)
	for range 21 {
		s.apply()
		if s.number == 1 {
			s.put(fileID("/long"), long)
		}
		s.put(fileID("/a"), strings.Repeat("x", s.number))
		s.end()
	}
	before, text := tell(t, s.Journal, 0), s.content()
	var was syscall.Rlimit
	s.must(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	s.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(len(long)), Max: was.Max}))
	_, err := s.Compact()
	s.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was))
	if err == nil || s.content() != text {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(before, tell(t, s.Journal, 0)); diff != "" {
		t.Error(diff)
	}
	if entries, err := os.ReadDir(s.folder); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
	s.apply()
	s.put(fileID("/b"), "on")
	s.end()
	if _, err := s.Compact(); err != nil {
		t.Error(err)
	}
}

// A crash while the oldest applies are folded leaves the journal as it was; what
// it left beside it is written over.
func TestCompactCutOff(t *testing.T) {
	s := begin(t)
	for range 22 {
		s.apply()
		s.put(fileID("/a"), strings.Repeat("x", s.number))
		s.end()
	}
	s.must(os.WriteFile(filepath.Join(s.folder, record.Name+".new"), []byte(s.content()[:500]), 0o600))
	s.open()
	before := tell(t, s.Journal, 2)
	if oldest, err := s.Compact(); err != nil || oldest != 2 {
		t.Fatalf("oldest %d, %v", oldest, err)
	}
	if diff := cmp.Diff(before, tell(t, s.Journal, 2)); diff != "" {
		t.Error(diff)
	}
	if entries, err := os.ReadDir(s.folder); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}

// A host with the older stores that lost its power as it got its journal tells
// an older relayctl all the same that it is too old.
func TestBeforeTheJournalCutOff(t *testing.T) {
	folder := t.TempDir()
	old := `{"schema":1,"stack":"home","version":"0.3.0","apply":4}`
	for name, text := range map[string]string{"manifest.json": old, "history.jsonl": `{"apply":4,"stack":"home"}` + "\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &story{t: t, folder: folder, stands: map[plan.ID]string{}}
	s.open()
	s.Close()
	for name, text := range map[string]string{"manifest.json": old, "history.jsonl": `{"apply":4,"stack":"home"}` + "\n"} {
		s.must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600)) // that it lost
	}
	s.open()
	word, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil || !strings.Contains(string(word), `"schema":2`) {
		t.Errorf("an older relayctl is told %q, %v", word, err)
	}
	if s.Next() != 5 || len(s.Past()) != 1 {
		t.Errorf("next %d, past %v", s.Next(), s.Past())
	}
}

// The clock of a host may go back between applies: their order is their number.
func TestClockGoesBack(t *testing.T) {
	s := begin(t)
	for range 3 {
		s.apply()
		s.put(fileID("/a"), strings.Repeat("x", s.number))
		s.end()
	}
	lines := strings.SplitAfter(s.content(), "\n")
	for i := range lines {
		if at := strings.Index(lines[i], `"at":"`); at >= 0 {
			lines[i] = lines[i][:at+6] + []string{"2031", "2020"}[i*2/len(lines)] + lines[i][at+10:]
		}
	}
	j, err := record.Read(holding(t, strings.Join(lines, "")).folder)
	if err != nil {
		t.Fatal(err)
	}
	formers, err := j.Formers(2)
	if err != nil || len(formers) != 1 || formers[0].Before.Have[plan.AttrContent] != "xx" || j.Last() != 3 || j.Next() != 4 {
		t.Errorf("formers %+v, %v; last %d, next %d", formers, err, j.Last(), j.Next())
	}
}
