package relay

import (
	"cmp"
	"slices"
)

// load tells each model's present state, by name.
func (s *scheduler) load() []ModelStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	models := make([]ModelStatus, 0, len(s.models))
	for name, m := range s.models {
		status := ModelStatus{Name: name, Waiting: len(m.queue)}
		workers := make(map[string]bool)
		for _, sl := range m.slots {
			if !workers[sl.link.name] { // two connections of a worker share its engine
				workers[sl.link.name] = true
				status.Slots += sl.capacity
			}
		}
		status.Workers = len(workers)
		for _, n := range m.running {
			status.Running += n
		}
		models = append(models, status)
	}
	slices.SortFunc(models, func(a, b ModelStatus) int { return cmp.Compare(a.Name, b.Name) })
	return models
}

// serves tells what link does.
func (s *scheduler) serves(l *link) (held bool, models []WorkerModelStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	models = []WorkerModelStatus{}
	state := s.links[l]
	if state == nil {
		return true, models
	}
	for _, sl := range state.slots {
		models = append(models, WorkerModelStatus{sl.model.name, sl.capacity, sl.model.running[l.name], sl.failed.Load()})
	}
	slices.SortFunc(models, func(a, b WorkerModelStatus) int { return cmp.Compare(a.Name, b.Name) })
	return state.held, models
}

// runningAt counts what runs at links.
func (s *scheduler) runningAt(links []*link) (running int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range links {
		if state := s.links[l]; state != nil {
			running += state.running
		}
	}
	return running
}
