//go:build release

package payload

import (
	"embed"
	"io/fs"
)

// The patterns are explicit, so that a release without programs does not
// compile.
//
//go:embed programs/index.json programs/*.gz
var programs embed.FS

func embedded() fs.FS { return programs }
