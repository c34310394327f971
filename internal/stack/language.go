package stack

import (
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/relayctl/relayctl/internal/secret"
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

	elsewhere []string // what other programs call it, in lower case
}

// form is what an attribute or a label takes.
type form struct {
	says    string   // as messages and the reference put it: "a host name or an IP address"
	typ     cty.Type // what values are converted to
	orText  bool     // of a list of texts: one text stands for a list of it alone
	choices []choice // where only these values are taken
	secret  bool     // never shown, and never written in the file

	// read brings a known, unmarked value of typ into the form that it has in a
	// Stack, or says what is wrong with it: "is not a host name".
	read func(v cty.Value) (value any, problem string)
}

// choice is one value of an attribute or label that takes only a few.
type choice struct {
	value string
	state state
}

// find gives the one of a few attributes or blocks that has a name.
func find[T interface{ named() (string, state) }](all []T, name string) (found T, ok bool) {
	for _, one := range all {
		if n, _ := one.named(); n == name {
			return one, true
		}
	}
	return found, false
}

// names lists those of a few attributes, blocks or choices that are in one of
// the states.
func names[T interface{ named() (string, state) }](all []T, states ...state) []string {
	var list []string
	for _, one := range all {
		if name, s := one.named(); slices.Contains(states, s) {
			list = append(list, name)
		}
	}
	return list
}

func (b *block) named() (string, state)    { return b.name, b.state }
func (a attribute) named() (string, state) { return a.name, a.state }
func (c choice) named() (string, state)    { return c.value, c.state }

// language is the stack language: every block and attribute there is. variable
// and locals blocks are read before it applies, and are not in it.
func language() *block {
	return &block{blocks: []*block{
		{name: "stack", required: true, single: true, label: nameLabel()},
		sshBlock(),
		proxyBlock(),
		workerBlock(),
		apiKeyBlock(),
	}}
}

// laterAttributes are known and not served: what they take is never looked at.
func laterAttributes(names ...string) []attribute {
	var list []attribute
	for _, name := range names {
		list = append(list, attribute{name: name, state: later})
	}
	return list
}

func nameLabel() *label { return &label{what: "name", form: hostLabel()} }

func sshBlock() *block {
	return &block{name: "ssh", single: true, attributes: []attribute{
		{name: "user", form: userName()},
		{name: "port", form: whole(1, 65535)},
		{name: "identity_file", form: filePath()},
		{name: "host_key", form: hostKey()},
		{name: "sudo", preset: cty.StringVal("auto"), form: oneOf(
			choice{"auto", served}, choice{"password", served}, choice{"none", served})},
		{name: "jump", form: jumpHops(), elsewhere: []string{"proxyjump", "proxy_jump", "jump_host", "jumphost", "bastion", "bastion_host", "gateway"}},
	}}
}

func proxyBlock() *block {
	return &block{
		name: "proxy", required: true, single: true, label: nameLabel(),
		attributes: []attribute{
			{name: "address", required: true, form: address()},
			{name: "domain", required: true, form: domain()},
			{name: "server", preset: cty.StringVal("caddy"), form: oneOf(
				choice{"caddy", served}, choice{"nginx", later}, choice{"none", later})},
		},
		blocks: []*block{sshBlock(), tlsBlock(), relayBlock(), firewallBlock(), accessBlock()},
	}
}

func tlsBlock() *block {
	return &block{
		name: "tls", required: true, single: true,
		label: &label{what: "mode", form: oneOf(choice{"internal", served},
			choice{"letsencrypt", later}, choice{"custom", later}, choice{"off", later})},
		attributes: laterAttributes("email", "directory_url", "certificate", "private_key", "ca_root"),
	}
}

func relayBlock() *block {
	const day = 24 * time.Hour
	return &block{name: "relay", single: true, attributes: []attribute{
		{name: "listen", preset: cty.StringVal("127.0.0.1:8080"), form: loopback()},
		{name: "first_byte_timeout", preset: cty.StringVal("10m"), form: duration(time.Second, day)},
		{name: "idle_timeout", preset: cty.StringVal("5m"), form: duration(time.Second, day)},
		{name: "request_timeout", preset: cty.StringVal("1h"), form: duration(time.Second, day)},
		{name: "queue_timeout", preset: cty.StringVal("30s"), form: duration(time.Second, time.Hour)},
		{name: "max_queue", preset: cty.NumberIntVal(100), form: whole(0, 100_000)},
	}}
}

func firewallBlock() *block {
	return &block{name: "firewall", state: later, single: true, attributes: laterAttributes("ssh_from"), blocks: []*block{
		{name: "allow", state: later, label: nameLabel(), attributes: laterAttributes("port", "from", "comment")},
	}}
}

func accessBlock() *block {
	return &block{name: "access", state: later, single: true,
		attributes: laterAttributes("allow_from", "max_body", "hsts", "compress")}
}

func workerBlock() *block {
	return &block{
		name: "worker", label: nameLabel(),
		attributes: []attribute{
			{name: "address", required: true, unless: []string{"managed"}, form: address()},
			{name: "managed", state: later},
		},
		blocks: []*block{sshBlock(), modelBlock(), firewallBlock()},
	}
}

func modelBlock() *block {
	return &block{
		name: "model", required: true, label: &label{what: "name", form: modelName()},
		attributes: []attribute{
			{name: "backend", required: true, unless: []string{"source", "engine"}, form: origin()},
			{name: "backend_key", form: secretText(1)},
			{name: "upstream", form: upstreamName()},
			{name: "kind", preset: cty.StringVal("chat"), form: oneOf(
				choice{"chat", served}, choice{"embedding", later}, choice{"rerank", later})},
			{name: "concurrency", preset: cty.NumberIntVal(16), form: whole(1, 4096)},
			{name: "source", state: later},
		},
		blocks: []*block{engineBlock()},
	}
}

func engineBlock() *block {
	return &block{
		name: "engine", state: later, single: true,
		label:      &label{what: "kind", form: oneOf(choice{"vllm", later})},
		attributes: laterAttributes("version", "port", "max_model_len", "gpu_memory_utilization", "gpus", "args"),
	}
}

func apiKeyBlock() *block {
	return &block{name: "api_key", label: nameLabel(), attributes: []attribute{
		{name: "value", form: secretText(secret.MinLength)},
		{name: "models", form: modelNames()},
		{name: "expires", form: expiry()},
		{name: "requests_per_minute", state: later},
		{name: "tokens_per_minute", state: later},
		{name: "concurrency", state: later},
	}}
}
