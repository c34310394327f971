package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// The bounds of a journal. One change takes some 2 KiB, so that an apply of
// everything that a host has takes some 100 KiB.
const (
	keptApplies  = 20       // that changed something: so far one can go back
	fewestKept   = 10       // that are kept, however long the journal is
	maxSize      = 8 << 20  // bytes, above which fewer than keptApplies are kept
	keptPast     = 1000     // applies that the history tells of
	maxLine      = 16 << 20 // bytes
	journalPerms = 0o600
)

// Name is that of the journal in its folder.
const Name = "journal.jsonl"

// ErrDamaged means that a line in the middle of the journal can't be read: it
// was edited, or its disk is failing.
var ErrDamaged = errors.New("the journal is damaged")

// Journal is a host's record. It is read by anybody and written by who holds
// the Lock.
type Journal struct {
	path string
	file *os.File // open for writing; nil: it is only read
	size int64    // of the lines that are whole
	fold *fold
}

// Read reads the record under a folder. Where there is none, or only the last
// line was cut off by a crash, that is nothing lost.
func Read(folder string) (*Journal, error) {
	j := &Journal{path: filepath.Join(folder, Name), fold: newFold()}
	file, err := os.OpenFile(j.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		first, err := former(folder)
		if err == nil && first != nil {
			j.fold.take(line{Checkpoint: first})
		}
		return j, err
	}
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a file", j.path)
	default:
		err = j.replay(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return j, nil
}

// replay takes in all lines that are whole, and of a newer relayctl's as many as
// tell that.
func (j *Journal) replay(from io.Reader) error {
	lines := bufio.NewReaderSize(from, 64<<10)
	for number := 1; ; number++ {
		text, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil // what is left is a part of a line, or nothing
		case err != nil:
			return err
		case len(text) > maxLine:
			return fmt.Errorf("%w: line %d is longer than %d bytes", ErrDamaged, number, maxLine)
		}
		var one line
		err = json.Unmarshal(text, &one)
		switch {
		case one.Checkpoint != nil && one.Checkpoint.Schema > schema:
			j.fold.take(one)
			return nil
		case err != nil && isTorn(text, lines):
			return nil
		case err != nil:
			return fmt.Errorf("%w: line %d: %w", ErrDamaged, number, err)
		}
		j.fold.take(one)
		j.size += int64(len(text))
	}
}

// isTorn reports whether a line that can't be read, and the rest behind it, may
// be what a power failure left of lines that were not on the disk yet: the file
// has NULs in their place, and nothing was written on after a line that lasts.
func isTorn(text []byte, rest *bufio.Reader) bool {
	lasts := false
	for hasNUL := bytes.IndexByte(text, 0) >= 0; hasNUL; {
		text, err := rest.ReadBytes('\n')
		if lasts && len(text) > 0 {
			return false
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		var one line
		lasts = json.Unmarshal(text, &one) == nil && one.lasts()
	}
	return false
}

// Open makes ready to write: the lock has to be held, and what a crash left of
// a line goes.
func (j *Journal) Open() error {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return fmt.Errorf("make record: %w", err)
	}
	open := j.openWhole
	if j.size == 0 {
		open = func() error { return j.rewrite(j.fold.checkpoint(), nil) }
	}
	if err := open(); err != nil || j.fold.manifest == nil {
		return err
	}
	return replaceFormer(filepath.Dir(j.path), j.fold.manifest)
}

// openWhole opens the journal without what a crash left of a line.
func (j *Journal) openWhole() error {
	file, err := os.OpenFile(j.path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if err := file.Truncate(j.size); err != nil {
		file.Close()
		return fmt.Errorf("open journal: %w", err)
	}
	j.file = file
	return nil
}

// Close ends the writing.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	file := j.file
	j.file = nil
	return file.Close()
}

// write adds a line. One that lasts is on the disk when write returns, with all
// lines before it.
func (j *Journal) write(one line) error {
	if j.file == nil {
		return errors.New("write journal: it is not open")
	}
	one.At = time.Now().UTC()
	text, err := encode(one)
	if err != nil {
		return err
	}
	if _, err := j.file.WriteAt(text, j.size); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	j.size += int64(len(text))
	j.fold.take(one)
	if !one.lasts() {
		return nil
	}
	return j.sync()
}

// sync is tried once: when it fails the kernel drops what it could not write, and
// the next sync would say that all is well. So nothing is written any more.
func (j *Journal) sync() error {
	if err := j.file.Sync(); err != nil {
		j.Close()
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func encode(one line) ([]byte, error) {
	text, err := json.Marshal(one)
	if err != nil {
		return nil, fmt.Errorf("encode journal: %w", err)
	}
	return append(text, '\n'), nil
}

// rewrite puts a journal of a checkpoint and some lines in the place of the
// one there is, in one swap.
func (j *Journal) rewrite(first checkpoint, rest []byte) error {
	head, err := encode(line{At: time.Now().UTC(), Checkpoint: &first})
	if err != nil {
		return err
	}
	next := j.path + ".new"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, journalPerms)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	_, err = file.Write(append(head, rest...))
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(next, j.path)
	}
	if err != nil {
		file.Close()
		os.Remove(next)
		return fmt.Errorf("write journal: %w", err)
	}
	j.Close()
	j.file, j.size = file, int64(len(head)+len(rest))
	return syncFolder(filepath.Dir(j.path))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	defer folder.Close()
	return folder.Sync()
}

// Compact folds the oldest applies into the checkpoint where more are kept than
// have to be, and returns how far one can go back from now on.
func (j *Journal) Compact() (oldest int, err error) {
	keep := j.keep()
	if keep <= j.fold.oldest {
		return j.fold.oldest, nil
	}
	content, err := os.ReadFile(j.path)
	if err != nil {
		return 0, fmt.Errorf("read journal: %w", err)
	}
	prefix, rest := newFold(), content
	for len(rest) > 0 {
		text, after, _ := bytes.Cut(rest, []byte("\n"))
		var one line
		if err := json.Unmarshal(text, &one); err != nil {
			return 0, fmt.Errorf("read journal: %w: %w", ErrDamaged, err)
		}
		if one.Begin != nil && one.Begin.Number > keep {
			break
		}
		prefix.take(one)
		rest = after
	}
	prefix.oldest = keep
	if err := j.rewrite(prefix.checkpoint(), rest); err != nil {
		return 0, err
	}
	j.fold = newFold()
	return keep, j.replayAgain()
}

// replayAgain takes in what rewrite wrote.
func (j *Journal) replayAgain() error {
	content, err := os.ReadFile(j.path)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	j.size = 0
	return j.replay(bytes.NewReader(content))
}

// keep is the number of the last apply that need not be kept.
func (j *Journal) keep() int {
	changing := j.fold.changing()
	kept := keptApplies
	if j.size > maxSize {
		kept = fewestKept
	}
	if len(changing) <= kept || j.fold.open != nil {
		return j.fold.oldest
	}
	return changing[len(changing)-kept-1]
}

// changing lists the numbers of the applies since the checkpoint that changed
// anything, rising.
func (f *fold) changing() []int {
	var numbers []int
	for _, one := range f.changes {
		if countsAsChange(one.Action) {
			numbers = append(numbers, one.number)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

func countsAsChange(action plan.Action) bool { return plan.Change{Action: action}.Counts() }
