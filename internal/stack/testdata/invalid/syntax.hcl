stack "home" {}

proxy "edge" {
  address = 203.0.113.10 # error: Invalid number literal
}
