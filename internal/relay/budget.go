package relay

import "sync"

// share is how many times what is left free one key may hold. So there is room
// for whoever comes later, however many have taken all they may: one alone has
// four fifths, two have four ninths each, and so on.
const share = 4

// budget bounds the memory of bodies, of all keys together and of each.
type budget struct {
	mu    sync.Mutex
	limit int64 // bytes
	used  int64
	byKey map[string]int64
}

func (b *budget) setLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	if b.byKey == nil {
		b.byKey = make(map[string]int64)
	}
}

// take takes n bytes for key, or none.
func (b *budget) take(key string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	free := b.limit - b.used - n
	if b.byKey[key]+n > share*free {
		return false
	}
	b.used += n
	b.byKey[key] += n
	return true
}

func (b *budget) give(key string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.byKey[key] -= n; b.byKey[key] == 0 {
		delete(b.byKey, key)
	}
}
