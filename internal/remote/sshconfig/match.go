package sshconfig

import (
	"errors"
	"fmt"
	"strings"
)

// criterion is one of a Match line.
type criterion struct {
	name     string // in lower case
	negated  bool
	argument string
}

// bare are the criteria without an argument.
var bare = map[string]bool{"all": true, "final": true, "canonical": true}

// criteria takes a Match line apart. An unknown criterion has an argument.
func criteria(text string) ([]criterion, error) {
	args, err := split(text)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, errors.New("nothing stands behind Match")
	}
	var list []criterion
	for len(args) > 0 {
		name, argument, _ := strings.Cut(args[0], "=")
		args = args[1:]
		c := criterion{argument: argument}
		c.name, c.negated = strings.CutPrefix(strings.ToLower(name), "!")
		if !bare[c.name] && c.argument == "" {
			if len(args) == 0 {
				return nil, fmt.Errorf("nothing stands behind Match %s", c.name)
			}
			c.argument, args = args[0], args[1:]
		}
		list = append(list, c)
	}
	return list, nil
}

// matchHolds tells whether all criteria of a Match line hold. Where that
// depends on one that Read can't tell, it is named and nothing holds.
func (r *reader) matchHolds(list []criterion) (holds bool, unknown string) {
	holds = true
	for _, c := range list {
		is, known := r.is(c)
		switch {
		case !known:
			unknown = c.name
		case is == c.negated:
			holds = false
		}
	}
	if !holds {
		unknown = ""
	}
	return holds && unknown == "", unknown
}

func (r *reader) is(c criterion) (is, known bool) {
	patterns := strings.Split(c.argument, ",")
	ofHosts := strings.Split(strings.ToLower(c.argument), ",")
	switch c.name {
	case "all":
		return true, true
	case "final":
		r.wantFinal = true
		return r.final, true
	case "canonical":
		return r.final, true
	case "host":
		return Matches(ofHosts, r.hostname()), true
	case "originalhost":
		return Matches(ofHosts, strings.ToLower(r.query.Address)), true
	case "user":
		return Matches(patterns, r.conf.First("user", r.user)), true
	case "localuser":
		return Matches(patterns, r.user), true
	}
	return false, false
}
