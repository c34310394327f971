stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "203.0.113.10"
  tls "internal" {}
  relay {
    listen = "127.0.0.1:2019" # error: Port used twice
  }
}
