package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// The journal of an apply's steps says what this host was doing, also when
// nobody was left to tell: it is a file per apply, with a line for the apply,
// one when a step begins and one when it has ended.

// keptJournals is how many applies' journals are kept. A line has some 200
// bytes, so that a journal is a few KiB long, 100 KiB for 250 steps.
const keptJournals = 10

// maxWhy is how much is taken down of what went wrong, in bytes.
const maxWhy = 300

// stepJournal is the journal that this session writes; its file is made when
// the first step begins, so that an apply without steps writes none.
type stepJournal struct {
	file    *os.File
	steps   []plan.StepTaken
	failure error // the first of writing: there is no next step after it
}

func (h *Host) stepsPath(number int) string {
	return h.stored("steps", strconv.Itoa(number)+".jsonl")
}

// beginStep writes down that a step begins, before it does. A step that
// changes something is on the disk by then, together with the end of the one
// before: one fsync a step.
func (h *Host) beginStep(change plan.Change) error {
	j := &h.session.journal
	if j.file == nil {
		if err := h.openSteps(); err != nil {
			return fmt.Errorf("begin journal of steps: %w", err)
		}
	}
	j.steps = append(j.steps, plan.StepTaken{
		ID: change.ID, Step: len(j.steps) + 1, Action: change.Action, Began: time.Now().UTC(),
	})
	j.write(j.steps[len(j.steps)-1])
	if j.failure == nil && change.Counts() {
		j.failure = j.file.Sync()
	}
	if j.failure != nil {
		return fmt.Errorf("write journal of steps: %w", j.failure)
	}
	return nil
}

// endStep writes down how the step that was begun last has ended. The end may
// be lost with the host's power, until the next step begins or the apply ends.
func (h *Host) endStep(err error) {
	j := &h.session.journal
	last := &j.steps[len(j.steps)-1]
	last.Ended = time.Now().UTC()
	if err != nil {
		last.Error = firstLine(asError(err).Message)
	}
	j.write(*last)
}

func (h *Host) openSteps() error {
	if err := h.sweepSteps(keptJournals - 1); err != nil {
		return err
	}
	path := h.stepsPath(h.session.number)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	h.session.journal.file = file
	h.session.journal.write(h.session.past)
	return machine.SyncDir(filepath.Dir(path))
}

func (j *stepJournal) write(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if j.failure == nil {
		j.failure = err
	}
}

// sync makes the ends of all steps last over a crash.
func (j *stepJournal) sync() error {
	if j.file == nil {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write journal of steps: %w", err)
	}
	return nil
}

func (j *stepJournal) close() {
	if j.file != nil {
		j.file.Close() // it was synced as far as it has to be
	}
}

// firstLine is the first line of a message, and not too much of that.
func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > maxWhy {
		text = strings.ToValidUTF8(text[:maxWhy], "") + "..."
	}
	return text
}

// loadSteps reads the journal of an apply. It reports false where none is
// kept; what a crash left of a line is not counted.
func (h *Host) loadSteps(number int) (past plan.Past, steps []plan.StepTaken, found bool, err error) {
	content, err := os.ReadFile(h.stepsPath(number))
	if errors.Is(err, fs.ErrNotExist) {
		return past, nil, false, nil
	}
	if err != nil {
		return past, nil, false, fmt.Errorf("read journal of steps: %w", err)
	}
	steps = []plan.StepTaken{}
	for line := range strings.Lines(string(content)) {
		var step plan.StepTaken
		switch {
		case past.Number == 0:
			if json.Unmarshal([]byte(line), &past) != nil || past.Number != number {
				return plan.Past{Number: number}, steps, true, nil
			}
		case json.Unmarshal([]byte(line), &step) != nil || step.Step < 1:
		case step.Step <= len(steps):
			steps[step.Step-1] = step
		default:
			steps = append(steps, step)
		}
	}
	return past, steps, true, nil
}

// journals lists the applies whose journals are kept, oldest first.
func (h *Host) journals() ([]int, error) {
	entries, err := os.ReadDir(h.stored("steps"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list journals of steps: %w", err)
	}
	var numbers []int
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".jsonl")
		if number, err := strconv.Atoi(name); ok && err == nil {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// sweepSteps removes all journals but the newest.
func (h *Host) sweepSteps(keep int) error {
	numbers, err := h.journals()
	if err != nil {
		return err
	}
	for _, number := range numbers[:max(0, len(numbers)-keep)] {
		if err := machine.RemoveIfThere(h.stepsPath(number)); err != nil {
			return fmt.Errorf("remove old journal of steps: %w", err)
		}
	}
	return nil
}
