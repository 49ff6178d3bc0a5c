using System.Security.Cryptography;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// <c>longcat.json</c>: what an exported model folder holds and what a runtime must know before it opens a session. See docs/design.md section 2.
/// </summary>
/// <remarks>Immutable; safe to share between threads.</remarks>
public sealed partial record ModelManifest
{
    /// <summary>The manifest's file name inside the model folder.</summary>
    public const string FileName = "longcat.json";

    /// <summary>The main graph's file name.</summary>
    public const string ModelFileName = "model.onnx";

    /// <summary>The draft head's graph, present when the checkpoint has one and it was exported.</summary>
    public const string DraftFileName = "draft.onnx";

    /// <summary>The weights of both graphs.</summary>
    public const string DataFileName = "model.onnx.data";

    /// <summary>The format version that this library reads and writes.</summary>
    public const int CurrentFormatVersion = 1;

    /// <summary>The architecture, <c>architectures[0]</c> of the checkpoint's config.json.</summary>
    public required string Architecture { get; init; }

    /// <summary>Which operators model.onnx uses, and with them which layout its inputs have.</summary>
    public OperatorSet Operators { get; init; }

    /// <summary>How matrices and tables are stored.</summary>
    public required WeightPrecision Precision { get; init; }

    /// <summary>V, the width of the logits; at least 1.</summary>
    public required int VocabSize { get; init; }

    /// <summary>H, the width of the hidden state; at least 1.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>The longest sequence, prompt and completion together; at least 1.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>The token that begins a text, or null when the model names none.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The tokens that end a text; empty when the model names none.</summary>
    public required IReadOnlyList<int> EosTokenIds { get; init; }

    /// <summary>N, the longest n-gram (the graph then takes N-1 earlier tokens); 0 when the model has no n-gram embedding, otherwise at least 2.</summary>
    public int NgramNeighbors { get; init; }

    /// <summary>The caches of model.onnx in the order of its inputs <c>cache.0</c>, <c>cache.1</c>, …; at least one.</summary>
    public required IReadOnlyList<CacheLayout> Caches { get; init; }

    /// <summary>The caches of draft.onnx, or null when there is no draft.onnx.</summary>
    public IReadOnlyList<CacheLayout>? DraftCaches { get; init; }

    /// <summary>
    /// Which caches are those of streaming attentions (<see cref="StreamingAttentionConfig.AttentionLayers"/> are indexes of <see cref="Caches"/>) and what these see; null where there are none.
    /// Their pools have a page count of their own, and model.onnx the input <c>streaming_block_table</c>. Of exports with the longcat operators only: padded caches hold every token.
    /// </summary>
    public StreamingAttentionConfig? Streaming { get; init; }

    /// <summary>
    /// The inputs for sparse verification, and beside which caches block means are kept; null where the model was not exported for it. Of exports with the longcat operators only.
    /// </summary>
    public SparseVerificationLayout? SparseVerification { get; init; }

    /// <summary>The element type of every cache.</summary>
    public CacheType CacheType { get; init; } = CacheType.Float32;

    /// <summary>Every file of the folder except longcat.json, by name.</summary>
    public required IReadOnlyDictionary<string, ManifestFile> Files { get; init; }

    /// <summary>Whether the folder holds a draft head.</summary>
    public bool HasDraft => DraftCaches is not null;

    /// <summary>
    /// SHA-256 over the lines <c>name sha256\n</c> of <see cref="Files"/> in ordinal order of name, in lower-case hexadecimal:
    /// two folders with the same value hold the same model.
    /// </summary>
    public string ContentHash
    {
        get
        {
            StringBuilder lines = new();
            foreach ((string name, ManifestFile file) in Files.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            {
                lines.Append(name).Append(' ').Append(file.Sha256).Append('\n');
            }

            return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(lines.ToString())));
        }
    }
}
