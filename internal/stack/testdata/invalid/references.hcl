variable "domain" {
  default = "llm.example.com"
}

locals {
  port = 22
  list = ["a"]
  no   = local.list[3]        # error: Invalid index
  sum  = "a" + 1              # error: Invalid operand
  call = cidrhost("10.0.0.0") # error: Not enough function arguments
  net  = cidrhost("10.0.0.0/24", 300) # error: Error in function call
  cast = tonumber("abc")      # error: Invalid function argument
  wide = format("%99999d", 1) # error: Error in function call
  env  = env("NOT_SET")       # error: Error in function call
  file = file("not-there")    # error: Error in function call
  dir  = file(".")            # error: Error in function call
}

stack "home" {}

ssh {
  port = local.prot # error: Unknown name
  user = var        # error: Unknown name
}

proxy "edge" {
  address = var.doman   # error: Unknown name
  domain  = lwer("ABC") # error: Call to unknown function
  server  = caddy       # error: Unknown name
  tls "internal" {}
}

worker "gpu-1" {
  address = proxy.edge.address # error: Unknown name
  model "a" {
    backend_key = hunter2hunter2 # error: Unknown name
    backend     = "http://127.0.0.1:11434"
  }
}
