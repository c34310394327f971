# The least that a stack needs, on one line where that is allowed.
stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"

  tls "internal" {}
}
