// Package templates carries the files that relayctl fills in for hosts. It
// promises no compatibility to importers outside this module.
package templates

import "embed"

// FS holds the templates by their path from this folder. Sub-folders are named
// one by one, so that a new one ships on purpose.
//
//go:embed caddy systemd
var FS embed.FS
