package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// readHistory is how much of the history's end is read, in bytes: some 3000
// applies.
const readHistory = 1 << 20

// History tells of former applies. It changes nothing on the machine.
func (h *Host) History(params hostapi.History) (hostapi.HistoryTold, error) {
	if params.Last < 0 || params.Last > hostapi.MaxPast {
		return hostapi.HistoryTold{}, badRequest("the last %d applies", params.Last)
	}
	applies, err := h.applies()
	if err != nil {
		return hostapi.HistoryTold{}, err
	}
	told := hostapi.HistoryTold{Applies: applies}
	told.Applies = slices.DeleteFunc(told.Applies, func(one plan.Past) bool { return one.Stack != params.Stack })
	if n := len(told.Applies) - params.Last; n > 0 {
		told.Applies, told.More = told.Applies[n:], true
	}
	if params.Steps > 0 {
		if _, told.Steps, _, err = h.loadSteps(params.Steps); err != nil {
			return hostapi.HistoryTold{}, err
		}
	}
	told.Originals, err = h.originals(params.Stack)
	return told, err
}

// applies lists all applies. Others may begin and end meanwhile, so the order
// counts: first what had begun, then who holds the lock, and the history last,
// which knows of all that ended by then.
func (h *Host) applies() ([]plan.Past, error) {
	signed, begun, err := h.begun()
	if err != nil {
		return nil, err
	}
	holder, _, err := h.lockHolder()
	if err != nil {
		return nil, err
	}
	past, err := h.loadHistory()
	if err != nil {
		return nil, err
	}
	open, err := h.unfinished(past, signed, begun)
	if err != nil {
		return nil, err
	}
	for i := range open {
		if (holder != nil || h.session != nil) && open[i].Number == signed.Number {
			open[i].State, open[i].Ended, open[i].At = plan.PastRunning, time.Time{}, nil
		}
	}
	return inOrder(append(past, open...)), nil
}

// originals lists what was taken over from somebody else, in the order in
// which that was done.
func (h *Host) originals(stack string) ([]plan.Original, error) {
	manifest, err := h.loadManifest()
	if err != nil || manifest == nil || manifest.Stack != stack {
		return nil, err
	}
	var list []plan.Original
	for _, entry := range manifest.Resources {
		if entry.Taken != nil {
			original := plan.Original{ID: entry.ID, TakenOver: *entry.Taken, Kept: entry.Kept}
			if entry.Kind == plan.KindUnit && entry.Made {
				original.HiddenBy = plan.UnitsDir + "/" + entry.Name
			}
			list = append(list, original)
		}
	}
	slices.SortStableFunc(list, func(a, b plan.Original) int { return a.Time.Compare(b.Time) })
	return list, nil
}

func inOrder(past []plan.Past) []plan.Past {
	slices.SortStableFunc(past, func(a, b plan.Past) int { return a.Number - b.Number })
	return past
}

// loadHistory reads the end of the history. What a crash left of a line is
// not counted.
func (h *Host) loadHistory() ([]plan.Past, error) {
	file, err := os.Open(h.historyPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	defer file.Close()
	if end, err := file.Seek(0, io.SeekEnd); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	} else if _, err := file.Seek(max(0, end-readHistory), io.SeekStart); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(file, readHistory))
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	var past []plan.Past
	for line := range strings.Lines(string(content)) {
		var one plan.Past
		if json.Unmarshal([]byte(line), &one) == nil && one.Number > 0 {
			past = append(past, one)
		}
	}
	return past, nil
}

func (h *Host) historyPath() string { return h.stored("history.jsonl") }

// begun lists the applies that have left anything but a line of the history:
// their journal, or, where they came to no step, their signature on the lock.
func (h *Host) begun() (signed signature, numbers []int, err error) {
	if numbers, err = h.journals(); err != nil {
		return signed, nil, err
	}
	if signed, err = h.signature(); err != nil { // after: what runs signs first
		return signed, nil, err
	}
	if signed.Number > 0 && !slices.Contains(numbers, signed.Number) {
		numbers = append(numbers, signed.Number)
	}
	return signed, numbers, nil
}

// unfinished is what is known of those that have begun and that the history
// does not tell of.
func (h *Host) unfinished(past []plan.Past, signed signature, begun []int) ([]plan.Past, error) {
	var open []plan.Past
	for _, number := range begun {
		if slices.ContainsFunc(past, func(one plan.Past) bool { return one.Number == number }) {
			continue
		}
		one, steps, _, err := h.loadSteps(number)
		if err != nil {
			return nil, err
		}
		if one.Stack == "" { // no journal, or not even its first line
			if one = signed.past(); one.Number != number {
				continue
			}
		}
		open = append(open, endOf(one, steps))
	}
	return open, nil
}

// endOf is the end of an apply of which nothing but its journal tells.
func endOf(past plan.Past, steps []plan.StepTaken) plan.Past {
	past.State, past.Steps, past.Ended = plan.PastCutOff, len(steps), past.Began
	past.Summary = plan.CountTaken(steps).String()
	if len(steps) == 0 {
		return past
	}
	last := steps[len(steps)-1]
	past.Ended, past.Why = last.Ended, last.Error
	if last.Ended.IsZero() {
		past.Ended, past.At = last.Began, &last
	}
	return past
}

// closeUnfinished adds to the history what was cut off before this lock, and
// returns the highest number that any apply has had.
func (h *Host) closeUnfinished() (last int, err error) {
	signed, begun, err := h.begun()
	if err != nil {
		return 0, err
	}
	past, err := h.loadHistory()
	if err != nil {
		return 0, err
	}
	open, err := h.unfinished(past, signed, begun)
	if err != nil {
		return 0, err
	}
	for _, one := range open {
		if err := h.appendHistory(one); err != nil {
			return 0, err
		}
	}
	for _, one := range past {
		last = max(last, one.Number)
	}
	for _, number := range begun { // also those of which nothing can be read
		last = max(last, number)
	}
	return last, nil
}

// appendHistory writes a line of the history.
func (h *Host) appendHistory(past plan.Past) error {
	line, err := json.Marshal(past)
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	file, err := os.OpenFile(h.historyPath(), os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open history: %w", err)
	}
	if isTorn(file) {
		line = append([]byte{'\n'}, line...)
	}
	_, err = file.Write(append(line, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// isTorn reports whether a crash cut off the last line of a file.
func isTorn(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	end := make([]byte, 1)
	_, err = file.ReadAt(end, info.Size()-1)
	return err == nil && end[0] != '\n'
}
