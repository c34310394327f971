package engine

// Newer is for tests.
var Newer = newer
