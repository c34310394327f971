package worker_test

import (
	"testing"

	"github.com/relayctl/relayctl/test/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
