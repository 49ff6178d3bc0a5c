using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>
/// The inputs of one step in the packed layout of docs/design.md section 3: the new tokens of all sequences one after another, no padding.
/// The arrays are pinned and reused; only their leading parts are in use.
/// </summary>
internal sealed class PackedStep
{
    private readonly int _pageSize;
    private readonly int _context;
    private readonly BlockTable _table;
    private readonly BlockTable? _streamingTable;
    private readonly int _sinkPages;

    /// <param name="maxTokens">The most tokens of a step.</param>
    /// <param name="maxSequences">The most sequences of a step.</param>
    /// <param name="maxPages">The most pages of a sequence.</param>
    /// <param name="pageSize">Tokens of a page.</param>
    /// <param name="ngramNeighbors">N, the longest n-gram; 0 for none.</param>
    /// <param name="streaming">What streaming attentions read; null where the model has none.</param>
    /// <param name="full">Whether the model has full attentions.</param>
    public PackedStep(int maxTokens, int maxSequences, int maxPages, int pageSize, int ngramNeighbors, StreamingPattern? streaming = null, bool full = true)
    {
        _pageSize = pageSize;
        _context = Math.Max(0, ngramNeighbors - 1);
        InputIds = Pinned<long>(maxTokens);
        PositionIds = Pinned<long>(maxTokens);
        QueryStart = Pinned<int>(maxSequences + 1);
        ContextLength = Pinned<int>(maxSequences);
        _table = new BlockTable(maxSequences, full ? maxPages : 1);
        _streamingTable = streaming is null ? null : new BlockTable(maxSequences, maxPages);
        _sinkPages = streaming?.SinkPages ?? 0;
        HasFull = full;
        NgramContext = Pinned<long>(maxSequences * _context);
        LogitsIndex = Pinned<long>(maxTokens);
        RowAdapter = Pinned<int>(maxTokens);
        SparseRows = Pinned<byte>(maxTokens);
    }

    /// <summary>T, the tokens of the step.</summary>
    public int Tokens { get; private set; }

    /// <summary>S, its sequences.</summary>
    public int Sequences { get; private set; }

    /// <summary>B, the width of the block table; what lies beyond a sequence's pages is -1.</summary>
    public int Blocks => _table.Width;

    /// <summary>The width of the streaming block table.</summary>
    public int StreamingBlocks => _streamingTable?.Width ?? 0;

    /// <summary>Whether the model has full attentions; otherwise <see cref="BlockTable"/> is [S, 1] of -1.</summary>
    public bool HasFull { get; }

    /// <summary>L, the rows whose logits are wanted; at least 1, so that no tensor is empty.</summary>
    public int Rows { get; private set; }

    /// <summary>Whether a request of the step takes hidden states; a step that nobody asks for them does not pay for them.</summary>
    public bool WantsHidden { get; private set; }

    /// <summary>N-1, the width of the n-gram context; 0 for none.</summary>
    public int NgramContextLength => _context;

    public long[] InputIds { get; }

    public long[] PositionIds { get; }

    public int[] QueryStart { get; }

    public int[] ContextLength { get; }

    public int[] BlockTable => _table.Entries;

    /// <summary>As <see cref="BlockTable"/>, for streaming attentions: -1 also where a page was given back. Null where the model has none.</summary>
    public int[]? StreamingBlockTable => _streamingTable?.Entries;

    /// <summary>Entries of both tables written so far, for tests: it must grow with the tokens, not with tokens times context.</summary>
    internal long TableEntriesWritten => _table.Written + (_streamingTable?.Written ?? 0);

    public long[] NgramContext { get; }

    public long[] LogitsIndex { get; }

    /// <summary>The index of each token's adapter, -1 for none.</summary>
    public int[] RowAdapter { get; }

    /// <summary>1 for each token that is verified sparsely, 0 for the others; the same for all tokens of a sequence.</summary>
    public byte[] SparseRows { get; }

    /// <summary>Writes the inputs of a step. The rows of logits are in the order of the entries and of their positions.</summary>
    /// <param name="entries">What to compute.</param>
    /// <param name="hidden">Whether hidden states are wanted even where no request takes them.</param>
    public void Fill(ReadOnlySpan<StepEntry> entries, bool hidden = false)
    {
        Begin(entries.Length, LongestEnd(entries));
        WantsHidden = hidden;
        for (int s = 0; s < entries.Length; s++)
        {
            StepEntry entry = entries[s];
            int end = entry.Start + entry.Count;
            WantsHidden |= entry.Sequence.Rows == RowKind.Hidden && entry.FirstRow < end;
            Add(s, entry, entry.Sequence.Rows == RowKind.Logits ? entry.FirstRow : end, shift: 0);
        }

        KeepOneRow();
    }

    /// <summary>Writes the inputs of a run of a draft head or draft model over the same pages.</summary>
    /// <param name="entries">What to compute.</param>
    /// <param name="rows">For each of them, whether the logits of its last token are wanted.</param>
    /// <param name="shift">The token of position p is that of position p + shift: 1 for a head that reads the token after its hidden state. A text's last token stands in for the one after it.</param>
    public void FillDraft(ReadOnlySpan<StepEntry> entries, ReadOnlySpan<bool> rows, int shift)
    {
        Begin(entries.Length, LongestEnd(entries));
        for (int s = 0; s < entries.Length; s++)
        {
            int end = entries[s].Start + entries[s].Count;
            Add(s, entries[s], rows[s] ? end - 1 : end, shift);
        }

        KeepOneRow();
    }

    private static int LongestEnd(ReadOnlySpan<StepEntry> entries)
    {
        int longest = 1;
        foreach (StepEntry entry in entries)
        {
            longest = Math.Max(longest, entry.Start + entry.Count);
        }

        return longest;
    }

    private void Begin(int sequences, int longest)
    {
        Sequences = sequences;
        _table.Widen(HasFull ? Pages(longest) : 1);
        _streamingTable?.Widen(Pages(longest));
        Tokens = 0;
        Rows = 0;
        WantsHidden = false;
        QueryStart[0] = 0;
    }

    private void Add(int s, StepEntry entry, int firstLogit, int shift)
    {
        Sequence sequence = entry.Sequence;
        int end = entry.Start + entry.Count;
        int last = sequence.Tokens.Count + sequence.Drafts.Count - 1;
        for (int position = entry.Start; position < end; position++)
        {
            if (position >= firstLogit)
            {
                LogitsIndex[Rows++] = Tokens;
            }

            InputIds[Tokens] = sequence.TokenAt(Math.Min(position + shift, last));
            RowAdapter[Tokens] = sequence.Adapter;
            SparseRows[Tokens] = entry.Sparse ? (byte)1 : (byte)0;
            PositionIds[Tokens] = position;
            Tokens++;
        }

        QueryStart[s + 1] = Tokens;
        ContextLength[s] = end;
        _table.Write(s, sequence.Pages, HasFull ? Pages(end) : 0, sequence.PagesVersion);
        _streamingTable?.Write(s, sequence.Streaming, _sinkPages, Pages(end));
        for (int k = 0; k < _context; k++)
        {
            int position = entry.Start - _context + k;
            NgramContext[(s * _context) + k] = position >= 0 ? sequence.TokenAt(position) : -1;
        }
    }

    private void KeepOneRow()
    {
        if (Rows == 0)
        {
            LogitsIndex[Rows++] = Tokens - 1;
        }
    }

    /// <summary>Pages of some leading tokens.</summary>
    private int Pages(int tokens) => (int)(((long)tokens + _pageSize - 1) / _pageSize);

    private static T[] Pinned<T>(int length) => GC.AllocateUninitializedArray<T>(Math.Max(1, length), pinned: true);
}
