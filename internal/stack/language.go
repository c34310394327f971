package stack

import (
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/relayctl/relayctl/internal/secret"
)

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

func nameLabel() *label { return &label{what: "name", form: hostLabel()} }

func sshBlock() *block {
	return &block{name: "ssh", single: true, attributes: []attribute{
		{name: "user", form: userName()},
		{name: "port", form: whole(1, 65535)},
		{name: "identity_file", form: filePath()},
		{name: "host_key", form: hostKey()},
		{name: "sudo", preset: cty.StringVal("auto"), form: oneOf(
			choice{"auto", served}, choice{"none", served}, choice{"password", later})},
		{name: "jump", state: later, form: anything("a hop, or a list of hops")},
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
		attributes: []attribute{
			{name: "email", state: later, form: anything("an email address")},
			{name: "directory_url", state: later, form: anything("a URL")},
			{name: "certificate", state: later, form: anything("a path")},
			{name: "private_key", state: later, form: anything("a path")},
			{name: "ca_root", state: later, form: anything("a path")},
		},
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
	return &block{name: "firewall", state: later, single: true,
		attributes: []attribute{{name: "ssh_from", state: later, form: anything("a list of networks")}},
		blocks: []*block{{name: "allow", state: later, label: nameLabel(), attributes: []attribute{
			{name: "port", state: later, form: anything("a port")},
			{name: "from", state: later, form: anything("a list of networks")},
			{name: "comment", state: later, form: anything("text")},
		}}},
	}
}

func accessBlock() *block {
	return &block{name: "access", state: later, single: true, attributes: []attribute{
		{name: "allow_from", state: later, form: anything("a list of networks")},
		{name: "max_body", state: later, form: anything("a size")},
		{name: "hsts", state: later, form: anything("true or false")},
		{name: "compress", state: later, form: anything("true or false")},
	}}
}

func workerBlock() *block {
	return &block{
		name: "worker", label: nameLabel(),
		attributes: []attribute{
			{name: "address", required: true, unless: []string{"managed"}, form: address()},
			{name: "managed", state: later, form: anything("true or false")},
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
			{name: "source", state: later, form: anything("a repository or a folder")},
		},
		blocks: []*block{engineBlock()},
	}
}

func engineBlock() *block {
	return &block{
		name: "engine", state: later, single: true,
		label: &label{what: "kind", form: oneOf(choice{"vllm", later})},
		attributes: []attribute{
			{name: "version", state: later, form: anything("a version")},
			{name: "port", state: later, form: anything("a port")},
			{name: "max_model_len", state: later, form: anything("a number of tokens")},
			{name: "gpu_memory_utilization", state: later, form: anything("a share")},
			{name: "gpus", state: later, form: anything("a list of GPU numbers")},
			{name: "args", state: later, form: anything("a list of arguments")},
		},
	}
}

func apiKeyBlock() *block {
	return &block{name: "api_key", label: nameLabel(), attributes: []attribute{
		{name: "value", form: secretText(secret.MinLength)},
		{name: "models", form: modelNames()},
		{name: "expires", form: date()},
		{name: "requests_per_minute", state: later, form: anything("a whole number")},
		{name: "tokens_per_minute", state: later, form: anything("a whole number")},
		{name: "concurrency", state: later, form: anything("a whole number")},
	}}
}
