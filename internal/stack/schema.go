package stack

import (
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// state says whether something of the language is served by this version, or
// known and refused until it is.
type state int

const (
	served state = iota
	later
)

// block describes one kind of block: what decoding accepts, what messages
// suggest, and what the reference has to explain.
type block struct {
	name       string
	label      *label // nil: none
	state      state
	required   bool // at least one
	single     bool // at most one
	attributes []attribute
	blocks     []*block
}

// label describes a block's one label.
type label struct {
	what string // what messages call it: name, mode
	form form
}

// attribute describes one argument of a block.
type attribute struct {
	name     string
	state    state
	required bool
	unless   []string  // names of arguments and blocks that take its place
	preset   cty.Value // the default; cty.NilVal: none
	form     form
}

// form is what an attribute or a label takes.
type form struct {
	says    string   // as messages and the reference put it: "a host name or an IP address"
	typ     cty.Type // what values are converted to
	choices []choice // where only these values are taken
	secret  bool     // never shown, and never written in the file

	// check says what is wrong with a known, unmarked value of typ, in the
	// form "is not a host name"; "" where nothing is.
	check func(v cty.Value) string
}

// choice is one value of an attribute or label that takes only a few.
type choice struct {
	value string
	state state
}

func (b *block) attribute(name string) (attribute, bool) {
	i := slices.IndexFunc(b.attributes, func(a attribute) bool { return a.name == name })
	if i < 0 {
		return attribute{}, false
	}
	return b.attributes[i], true
}

func (b *block) block(name string) (*block, bool) {
	i := slices.IndexFunc(b.blocks, func(b *block) bool { return b.name == name })
	if i < 0 {
		return nil, false
	}
	return b.blocks[i], true
}

// attributeNames lists the names of the attributes in one of the states.
func (b *block) attributeNames(states ...state) []string {
	var names []string
	for _, a := range b.attributes {
		if slices.Contains(states, a.state) {
			names = append(names, a.name)
		}
	}
	return names
}

// blockNames lists the names of the nested blocks in one of the states.
func (b *block) blockNames(states ...state) []string {
	var names []string
	for _, nested := range b.blocks {
		if slices.Contains(states, nested.state) {
			names = append(names, nested.name)
		}
	}
	return names
}

// values lists the choices in one of the states.
func (f form) values(states ...state) []string {
	var values []string
	for _, c := range f.choices {
		if slices.Contains(states, c.state) {
			values = append(values, c.value)
		}
	}
	return values
}
