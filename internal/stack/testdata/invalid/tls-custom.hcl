stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  server  = "none" # error: Not supported yet
  tls "custom" {} # error: Not supported yet
}
