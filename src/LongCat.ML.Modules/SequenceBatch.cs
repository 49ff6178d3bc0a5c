using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// B rows of S tokens, each row one document or several packed one after another. Neither attention nor n-grams cross a document's start, and positions restart there.
/// </summary>
/// <remarks>
/// The managed arrays are the source; the tensors a forward pass needs (attention mask, cosine and sine) are made once per batch by <see cref="Prepare"/> and shared by all layers.
/// Not thread-safe. The batch owns these tensors: dispose it after the last forward and backward pass over it.
/// </remarks>
public sealed class SequenceBatch : IDisposable
{
    private readonly Dictionary<(int Window, int Block, int Sinks, int Locals), Tensor> _masks = [];
    private Device _device = CPU;

    /// <summary>Creates a batch.</summary>
    /// <param name="inputIds">B·S token ids, row-major.</param>
    /// <param name="rows">B.</param>
    /// <param name="columns">S.</param>
    /// <param name="documentStart">For each token the column where its document begins, or null when every row is one document.</param>
    /// <exception cref="ArgumentException">The arrays do not hold B·S entries, or a document begins after its token.</exception>
    public SequenceBatch(long[] inputIds, int rows, int columns, int[]? documentStart = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(columns, 1);
        if (inputIds.Length != rows * columns)
        {
            throw new ArgumentException($"input_ids: {inputIds.Length} ids given, {rows} rows of {columns} need {rows * columns}", nameof(inputIds));
        }

        if (documentStart is not null && documentStart.Length != inputIds.Length)
        {
            throw new ArgumentException($"document starts: {documentStart.Length} given, expected one per token ({inputIds.Length})", nameof(documentStart));
        }

        InputIds = inputIds;
        Rows = rows;
        Columns = columns;
        DocumentStart = documentStart ?? new int[inputIds.Length];
        Positions = new int[inputIds.Length];
        for (int i = 0; i < inputIds.Length; i++)
        {
            int column = i % columns;
            if (DocumentStart[i] < 0 || DocumentStart[i] > column)
            {
                throw new ArgumentException($"document starts: token {column} of row {i / columns} names column {DocumentStart[i]}, expected 0..{column}", nameof(documentStart));
            }

            Positions[i] = column - DocumentStart[i];
            LongestDocument = Math.Max(LongestDocument, Positions[i] + 1);
        }
    }

    /// <summary>The ids, row-major.</summary>
    public long[] InputIds { get; }

    /// <summary>B.</summary>
    public int Rows { get; }

    /// <summary>S.</summary>
    public int Columns { get; }

    /// <summary>B·S.</summary>
    public int Tokens => InputIds.Length;

    /// <summary>For each token the column where its document begins.</summary>
    public int[] DocumentStart { get; }

    /// <summary>For each token its position within its document.</summary>
    public int[] Positions { get; }

    /// <summary>Tokens of the longest document (padding counts as one).</summary>
    internal int LongestDocument { get; }

    /// <summary>[B, 1, S, S] (0 or -∞): all of the document before a query; made when first asked for, null before <see cref="Prepare"/>.</summary>
    internal Tensor? Mask => Cosine is null ? null : MaskFor(null);

    /// <summary>Where the tensors are.</summary>
    internal Device Device => _device;

    internal Tensor? Cosine { get; private set; }

    internal Tensor? Sine { get; private set; }

    /// <summary>The first <paramref name="rows"/> rows as a batch of their own.</summary>
    /// <param name="rows">1..B.</param>
    /// <returns>A batch of its own, or this one when all rows are asked for.</returns>
    public SequenceBatch FirstRows(int rows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, Rows);
        return rows == Rows ? this : new SequenceBatch(InputIds[..(rows * Columns)], rows, Columns, DocumentStart[..(rows * Columns)]);
    }

    /// <summary>
    /// The ids one step ahead (what the draft head reads): entry t holds token t+1 of the row. The last entry of a row repeats its last token; no other entry depends on it.
    /// </summary>
    /// <returns>B·S ids.</returns>
    public long[] NextIds()
    {
        var next = new long[InputIds.Length];
        for (int i = 0; i < next.Length; i++)
        {
            next[i] = i % Columns == Columns - 1 ? InputIds[i] : InputIds[i + 1];
        }

        return next;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor mask in _masks.Values)
        {
            mask.Dispose();
        }

        _masks.Clear();
        Cosine?.Dispose();
        Sine?.Dispose();
        Cosine = Sine = null;
    }

    /// <summary>Makes the rotary tables, once.</summary>
    /// <param name="rotary">The rotary frequencies.</param>
    /// <param name="device">Where the weights are.</param>
    internal void Prepare(RotaryTable rotary, Device device)
    {
        if (Cosine is not null)
        {
            return;
        }

        using var scope = NewDisposeScope();
        _device = device;
        var (cosine, sine) = rotary.At(Positions);
        (Cosine, Sine) = (cosine.to(device).DetachFromDisposeScope(), sine.to(device).DetachFromDisposeScope());
    }

    /// <summary>The mask of an attention, made once per window and pattern.</summary>
    /// <param name="window">A query sees the last so many tokens, itself included; at least 1, or null for no such limit.</param>
    /// <param name="streaming">The pattern of blocks that a query sees; blocks count from the document's start. Null for no such limit.</param>
    /// <returns>[B, 1, S, S] (0 or -∞), owned by the batch.</returns>
    internal Tensor MaskFor(int? window, StreamingAttentionConfig? streaming = null)
    {
        // Up to its span a pattern hides nothing.
        streaming = streaming is not null && LongestDocument > streaming.Span ? streaming : null;
        int width = Math.Min(window ?? Columns, Columns);
        if (Cosine is null)
        {
            throw new InvalidOperationException("the batch is not prepared");
        }

        var key = (width, streaming?.BlockSize ?? 0, streaming?.SinkBlocks ?? 0, streaming?.LocalBlocks ?? 0);
        if (!_masks.TryGetValue(key, out Tensor? mask))
        {
            using var scope = NewDisposeScope();
            mask = MaskOf(width, streaming).DetachFromDisposeScope();
            _masks.Add(key, mask);
        }

        return mask;
    }

    /// <summary>The columns of the keys that a token sees: ascending ranges (the second end excluded), which may touch and overlap.</summary>
    /// <param name="token">The token, row-major.</param>
    /// <param name="window">As <see cref="MaskFor"/> takes it.</param>
    /// <param name="streaming">As <see cref="MaskFor"/> takes it.</param>
    internal IEnumerable<(int From, int To)> Visible(int token, int? window, StreamingAttentionConfig? streaming)
    {
        int position = Positions[token], start = DocumentStart[token], nearest = Math.Max(0, position - Math.Min(window ?? Columns, Columns) + 1), end = start + position + 1;
        if (streaming is null)
        {
            yield return (start + nearest, end);
            yield break;
        }

        int sinks = start + (int)Math.Min(position + 1L, (long)streaming.SinkBlocks * streaming.BlockSize);
        if (start + nearest < sinks)
        {
            yield return (start + nearest, sinks);
        }

        yield return (start + (int)Math.Max(nearest, ((position / streaming.BlockSize) - streaming.LocalBlocks + 1L) * streaming.BlockSize), end);
    }

    private Tensor MaskOf(int window, StreamingAttentionConfig? streaming)
    {
        var mask = new float[Rows * Columns * Columns];
        Array.Fill(mask, float.NegativeInfinity);
        for (int i = 0; i < InputIds.Length; i++)
        {
            foreach ((int from, int to) in Visible(i, window, streaming))
            {
                Array.Fill(mask, 0f, (i * Columns) + from, to - from);
            }
        }

        return tensor(mask, [Rows, 1, Columns, Columns], device: _device);
    }
}
