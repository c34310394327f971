package relay_test

import (
	"testing"

	"github.com/relayctl/relayctl/test/leak"
)

// TestMain is one of the programs where a test asks for that.
func TestMain(m *testing.M) {
	beProgram()
	leak.Main(m)
}
