# validate needs no values, whatever is made of them.
variable "address" {}

variable "key" {
  type      = string
  sensitive = true
}

variable "names" {
  type = map(string)
}

locals {
  port = tonumber(env("NOT_SET_PORT"))
}

stack "home" {}

ssh {
  port          = local.port
  user          = var.names["user"]
  identity_file = "${var.names.folder}/id"
}

proxy "edge" {
  address = var.address
  domain  = "llm.${var.names.domain}"
  tls "internal" {}
}

worker "gpu-1" {
  address = var.names.worker
  model "a" {
    backend     = "http://${var.address}:11434"
    backend_key = "${var.key}-suffix"
  }
}

api_key "laptop" {
  value  = file("not-there.key")
  models = [for k, v in var.names : v]
}

variable "folder" {}

api_key "phone" {
  value = trimspace(file("${var.folder}/phone.key"))
}
