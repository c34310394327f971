stack "home" {}

proxy "edge" { # error: Missing required argument | Missing required argument | Missing tls block
}

worker "gpu-1" {      # error: Missing model block
  address = null      # error: Missing required argument
}

worker "gpu-2" {      # error: Missing required argument
  model "llama3-8b" { # error: Missing required argument
  }
}
