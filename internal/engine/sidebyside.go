package engine

import (
	"cmp"
	"sync"
)

// sideBySide does something for all of a list at once, for at most atOnce of
// them at a time; 0: no bound.
func sideBySide[T any](list []T, atOnce int, do func(T)) {
	var running sync.WaitGroup
	slots := make(chan struct{}, cmp.Or(atOnce, len(list), 1))
	for _, one := range list {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			do(one)
		})
	}
	running.Wait()
}

// askAll asks the connected ones of some hosts side by side.
func askAll[T any](s *Session, names []string, ask func(*host) (T, *HostError)) (map[string]T, map[string]*HostError) {
	told, failed := map[string]T{}, map[string]*HostError{}
	var mu sync.Mutex
	sideBySide(names, 0, func(name string) {
		h := s.hosts[name]
		if h == nil {
			return
		}
		answer, failure := ask(h)
		mu.Lock()
		defer mu.Unlock()
		if failure != nil {
			failed[name] = failure
			return
		}
		told[name] = answer
	})
	return told, failed
}
