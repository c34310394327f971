stack "home" {}

ssh {
  port = 2222
}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
  relay {
    listen = "127.0.0.1:2222" # error: Port used twice
  }
}
