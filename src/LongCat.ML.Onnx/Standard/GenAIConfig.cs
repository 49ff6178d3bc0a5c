using System.Text.Json;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>
/// <c>genai_config.json</c>, which ONNX Runtime GenAI reads beside model.onnx and tokenizer.json, for the families that it knows. The format is described at
/// onnxruntime.ai/docs/genai/reference/config.html.
/// </summary>
internal static class GenAIConfig
{
    public const string FileName = "genai_config.json";

    private static readonly Dictionary<string, string> Types = new(StringComparer.Ordinal)
    {
        ["LlamaForCausalLM"] = "llama",
        ["MistralForCausalLM"] = "mistral",
        ["Qwen2ForCausalLM"] = "qwen2",
        ["Qwen3ForCausalLM"] = "qwen3",
    };

    /// <summary>The file's content, or null where GenAI does not know the architecture.</summary>
    public static byte[]? Write(ModelConfig config, bool takesPositions)
    {
        if (config is not DecoderConfig decoder || !Types.TryGetValue(config.Architecture, out string? type))
        {
            return null;
        }

        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            WriteModel(writer, decoder, type, takesPositions);
            WriteSearch(writer, decoder);
            writer.WriteEndObject();
        }

        return stream.ToArray();
    }

    private static void WriteModel(Utf8JsonWriter writer, DecoderConfig config, string type, bool takesPositions)
    {
        writer.WriteStartObject("model");
        if (config.BosTokenId is int bos)
        {
            writer.WriteNumber("bos_token_id", bos);
        }

        writer.WriteNumber("context_length", config.MaxPositions);
        writer.WriteStartObject("decoder");
        writer.WriteStartObject("session_options");
        writer.WriteString("log_id", "onnxruntime-genai");
        writer.WriteStartArray("provider_options");
        writer.WriteEndArray();
        writer.WriteEndObject();
        writer.WriteString("filename", ModelManifest.ModelFileName);
        writer.WriteNumber("head_size", config.HeadDim);
        writer.WriteNumber("hidden_size", config.HiddenSize);
        writer.WriteStartObject("inputs");
        writer.WriteString("input_ids", "input_ids");
        writer.WriteString("attention_mask", "attention_mask");
        if (takesPositions)
        {
            writer.WriteString("position_ids", "position_ids");
        }

        writer.WriteString("past_key_names", "past_key_values.%d.key");
        writer.WriteString("past_value_names", "past_key_values.%d.value");
        writer.WriteEndObject();
        writer.WriteStartObject("outputs");
        writer.WriteString("logits", "logits");
        writer.WriteString("present_key_names", "present.%d.key");
        writer.WriteString("present_value_names", "present.%d.value");
        writer.WriteEndObject();
        writer.WriteNumber("num_attention_heads", config.NumAttentionHeads);
        writer.WriteNumber("num_hidden_layers", config.NumLayers);
        writer.WriteNumber("num_key_value_heads", config.NumKeyValueHeads);
        writer.WriteEndObject();
        WriteEnd(writer, config);
        writer.WriteString("type", type);
        writer.WriteNumber("vocab_size", config.VocabSize);
        writer.WriteEndObject();
    }

    /// <summary>One id is written as a number, several as a list. GenAI wants a padding token: the last end-of-sequence token, whose row nobody reads.</summary>
    private static void WriteEnd(Utf8JsonWriter writer, DecoderConfig config)
    {
        if (config.EosTokenIds.Count == 1)
        {
            writer.WriteNumber("eos_token_id", config.EosTokenIds[0]);
        }
        else if (config.EosTokenIds.Count > 1)
        {
            writer.WriteStartArray("eos_token_id");
            foreach (int id in config.EosTokenIds)
            {
                writer.WriteNumberValue(id);
            }

            writer.WriteEndArray();
        }

        writer.WriteNumber("pad_token_id", config.EosTokenIds.Count > 0 ? config.EosTokenIds[^1] : 0);
    }

    private static void WriteSearch(Utf8JsonWriter writer, DecoderConfig config)
    {
        writer.WriteStartObject("search");
        writer.WriteNumber("diversity_penalty", 0.0);
        writer.WriteBoolean("do_sample", false);
        writer.WriteBoolean("early_stopping", true);
        writer.WriteNumber("length_penalty", 1.0);
        writer.WriteNumber("max_length", config.MaxPositions);
        writer.WriteNumber("min_length", 0);
        writer.WriteNumber("no_repeat_ngram_size", 0);
        writer.WriteNumber("num_beams", 1);
        writer.WriteNumber("num_return_sequences", 1);
        writer.WriteBoolean("past_present_share_buffer", true);
        writer.WriteNumber("repetition_penalty", 1.0);
        writer.WriteNumber("temperature", 1.0);
        writer.WriteNumber("top_k", 1);
        writer.WriteNumber("top_p", 1.0);
        writer.WriteEndObject();
    }
}
