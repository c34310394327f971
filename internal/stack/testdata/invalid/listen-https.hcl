stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
  relay {
    listen = "127.0.0.1:443" # error: Invalid value
  }
}
