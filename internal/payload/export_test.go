package payload

// From is Load for files other than those that are embedded.
var From = load
