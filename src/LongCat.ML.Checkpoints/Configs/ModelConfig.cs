using System.Text;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>What every architecture's config.json says. Immutable; change a setting with a <c>with</c> expression.</summary>
public abstract record ModelConfig
{
    /// <summary>More than any real config; a larger file is refused before it is read.</summary>
    internal const long LongestConfig = 16 << 20;

    /// <summary>The published name of the word embedding, in every family.</summary>
    internal const string EmbeddingName = "model.embed_tokens.weight";

    /// <summary>The published name of the output head, in every family.</summary>
    internal const string HeadName = "lm_head.weight";

    /// <summary><c>architectures[0]</c>, which chooses the model family.</summary>
    public required string Architecture { get; init; }

    /// <summary><c>vocab_size</c>: token ids are 0 to VocabSize - 1.</summary>
    public required int VocabSize { get; init; }

    /// <summary><c>hidden_size</c>: the width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary><c>num_layers</c> or <c>num_hidden_layers</c>: logical layers.</summary>
    public required int NumLayers { get; init; }

    /// <summary><c>num_attention_heads</c>.</summary>
    public required int NumAttentionHeads { get; init; }

    /// <summary><c>max_position_embeddings</c>: the longest context, in tokens.</summary>
    public required int MaxPositions { get; init; }

    /// <summary><c>rms_norm_eps</c>: the epsilon of the layer norms and the final norm.</summary>
    public required double RmsNormEps { get; init; }

    /// <summary>Rotary position embedding.</summary>
    public required RopeConfig Rope { get; init; }

    /// <summary><c>bos_token_id</c>; null when config.json gives none.</summary>
    public int? BosTokenId { get; init; }

    /// <summary><c>eos_token_id</c>, one or several; empty when config.json gives none.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary><c>torch_dtype</c> or <c>dtype</c>, as written; null when config.json gives none. The tensors' own types decide.</summary>
    public string? TorchDtype { get; init; }

    /// <summary>Block-quantized weights; null for plain ones.</summary>
    public BlockQuantization? Quantization { get; init; }

    /// <summary>
    /// <c>tie_word_embeddings</c>: whether the output head is the word embedding. The checkpoint then holds no <c>lm_head.weight</c>, or an equal one, which is ignored.
    /// </summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>The published name of the tensor that gives the logits: the output head's, or the word embedding's where both are tied.</summary>
    public string OutputHeadName => TieWordEmbeddings ? EmbeddingName : HeadName;

    /// <summary>How many multi-token-prediction layers there are: from the config, corrected by the tensors when a checkpoint is opened.</summary>
    public int MtpLayers { get; init; }

    /// <summary>
    /// <c>streaming_sparse_attention</c>: which attentions see the first and the latest blocks of the context alone; null where every attention sees all of it. Checked
    /// against the model when config.json is read; what code puts here is for the caller to check (<see cref="StreamingAttentionConfig.Validate"/>).
    /// </summary>
    public StreamingAttentionConfig? Streaming { get; init; }

    /// <summary>Attentions (and caches) of the main model: one per layer, in LongCat two. Attention i reads and writes cache i.</summary>
    public virtual int NumAttentions => NumLayers;

    /// <summary>Reads config.json.</summary>
    /// <param name="path">The file, the folder that holds <c>config.json</c>, or a model's folder in a Hugging Face cache.</param>
    /// <returns>The config of the family that <c>architectures[0]</c> names.</returns>
    /// <exception cref="CheckpointException">
    /// The file is missing, is no JSON, names an unsupported architecture, or holds a value that is missing, of the wrong type or out of range.
    /// </exception>
    /// <exception cref="ArgumentException"><paramref name="path"/> is null or empty.</exception>
    public static ModelConfig Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Directory.Exists(path) ? System.IO.Path.Combine(HuggingFaceCache.Resolve(path), "config.json") : path;
        return Parse(file, BoundedFile.Read(file, LongestConfig), System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(file)));
    }

    /// <summary>Reads the text of a config.json that lies in no file.</summary>
    /// <param name="json">The JSON text.</param>
    /// <param name="name">What error messages call it.</param>
    /// <returns>The config of the family that <c>architectures[0]</c> names.</returns>
    /// <exception cref="CheckpointException">As <see cref="Load"/> throws it.</exception>
    public static ModelConfig Parse(string json, string name = "config.json")
    {
        ArgumentNullException.ThrowIfNull(json);
        return Parse(name, Encoding.UTF8.GetBytes(json));
    }

    /// <summary>Every tensor the model consists of.</summary>
    /// <param name="withMtp">Whether to include the multi-token-prediction layers (as many as <see cref="MtpLayers"/> calls for).</param>
    /// <returns>Names, shapes and groups in the order of the forward pass.</returns>
    public abstract IReadOnlyList<ExpectedTensor> ExpectedTensors(bool withMtp);

    internal static ModelConfig Parse(string file, ReadOnlyMemory<byte> json, string? folder = null)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new CheckpointException(file, "config.json holds no JSON object");
            }

            return ModelFamilies.Read(new ConfigReader(file, document.RootElement, folder: folder));
        }
        catch (JsonException e)
        {
            throw new CheckpointException(file, $"not valid JSON: {CheckpointException.Printable(e.Message)}", e);
        }
        catch (InvalidOperationException e)
        {
            // A property name or text that is no valid UTF-8.
            throw new CheckpointException(file, $"not valid JSON: {CheckpointException.Printable(e.Message)}", e);
        }
    }
}
