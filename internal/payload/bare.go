//go:build !release

package payload

import (
	"embed"
	"io/fs"
)

// embedded is empty: this build carries nothing.
func embedded() fs.FS { return embed.FS{} }
