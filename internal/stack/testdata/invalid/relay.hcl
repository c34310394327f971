stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "*.example.com" # error: Invalid value
  tls "internal" {}
  relay {
    listen             = "127.0.0.1:8081" # error: Port used twice
    first_byte_timeout = "0s"             # error: Invalid value
    idle_timeout       = "5 minutes"      # error: Invalid value
    request_timeout    = "25h"            # error: Invalid value
    queue_timeout      = -1               # error: Invalid value
    max_queue          = 1.5              # error: Invalid value
  }
}
