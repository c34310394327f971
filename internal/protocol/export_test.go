package protocol

// For FuzzRequestHead and FuzzResponseHead.
var (
	EncodeRequest  = encodeRequest
	EncodeResponse = encodeResponse
	DecodeRequest  = decodeRequest
	DecodeResponse = decodeResponse
)
