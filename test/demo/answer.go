package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// printAnswer prints the words of a streamed chat completion as they come, and
// fails where there were none or the stream did not end as it should.
func printAnswer(out io.Writer, events io.Reader) error {
	words, ended := 0, false
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		data, isEvent := strings.CutPrefix(lines.Text(), "data: ")
		if !isEvent {
			continue
		}
		if data == "[DONE]" {
			ended = true
			continue
		}
		var event struct {
			Choices []struct {
				Delta struct{ Content string }
			}
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		for _, choice := range event.Choices {
			if choice.Delta.Content != "" {
				words++
				fmt.Fprint(out, choice.Delta.Content)
			}
		}
	}
	fmt.Fprintln(out)
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if words == 0 || !ended {
		return fmt.Errorf("read answer: %d words, ended properly: %v", words, ended)
	}
	return nil
}
