using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;

namespace LongCat.ML.Native.Tests;

/// <summary>The packed inputs of a step over a paged cache, drawn at random, and how each can be spoiled.</summary>
internal sealed class PagedStep
{
    private readonly int[] _lengths, _contexts, _table;
    private readonly int _page, _columns;
    private readonly (int Block, int Sinks, int Local)? _streaming;

    public PagedStep(Random random, int page, bool mayStream = true)
    {
        _page = page;
        _lengths = FuzzCases.Lengths(random);
        _contexts = [.. _lengths.Select(length => length + random.Next(30))];
        _columns = _contexts.Select(context => (context + page - 1) / page).DefaultIfEmpty(0).Max();
        int[] free = [.. Enumerable.Range(0, (Sequences * _columns) + 1)];
        random.Shuffle(free);
        Pages = free.Length;
        _streaming = !mayStream || random.Next(2) == 0 ? null : (random.Next(1, 12), random.Next(3), random.Next(1, 4));
        _table = [.. Enumerable.Range(0, Sequences * _columns).Select(i =>
            i % _columns * page >= _contexts[i / _columns] ? -1 : IsSeen(i / _columns, i % _columns) ? free[i] : random.Next(2) == 0 ? -1 : int.MaxValue)];
    }

    public int Tokens => _lengths.Sum();

    public int Sequences => _lengths.Length;

    /// <summary>Columns of the block table.</summary>
    public int Columns => _columns;

    /// <summary>New tokens of each sequence.</summary>
    public int[] Lengths => _lengths;

    public int Pages { get; }

    /// <summary>Whether the attention is a streaming one.</summary>
    public bool IsStreaming => _streaming is not null;

    /// <summary>The attributes that say so, or that it is full.</summary>
    public AttributeProto[] Pattern => _streaming is var (block, sinks, local)
        ? [NodeAttribute.String("pattern", "streaming"), NodeAttribute.Int("block_size", block), NodeAttribute.Int("sink_blocks", sinks), NodeAttribute.Int("local_blocks", local)]
        : [NodeAttribute.String("pattern", "full")];

    /// <summary><c>position_ids</c>, <c>query_start</c>, <c>context_length</c> and <c>block_table</c>.</summary>
    public Feed[] Feeds =>
    [
        new("position_ids", _lengths.SelectMany((length, s) => Enumerable.Range(_contexts[s] - length, length)).Select(position => (long)position).ToArray(), Tokens),
        FuzzCases.Starts(_lengths), new("context_length", _contexts, Sequences), new("block_table", _table, Sequences, _columns),
    ];

    /// <summary>Ways to spoil them; <paramref name="first"/> is the operator's index of <c>position_ids</c>.</summary>
    public IEnumerable<Spoiling> Spoilings(int first)
    {
        string starts = $"input {first + 1} (query_start)", contexts = $"input {first + 2} (context_length)", table = $"input {first + 3} (block_table)";
        List<Spoiling> spoilings =
        [
            FuzzCases.Resize("position_ids", Tokens + 1, $"input {first} (position_ids)"), FuzzCases.Resize("query_start", 0, starts),
            FuzzCases.Rank("query_start", starts), FuzzCases.Value("query_start", 0, -1, "query_start[0]"),
            FuzzCases.Value("query_start", Sequences, int.MaxValue, "query_start["), FuzzCases.Resize("context_length", Sequences + 1, contexts),
            FuzzCases.Resize("block_table", Sequences + 1, _columns, table), FuzzCases.Rank("block_table", table),
        ];
        int active = Array.FindLastIndex(_lengths, length => length > 0);
        if (active >= 0)
        {
            int used = (_contexts[active] + _page - 1) / _page, token = _lengths[..active].Sum(), entry = active * _columns;
            spoilings.AddRange(
            [
                FuzzCases.Value("context_length", active, -1, $"context_length[{active}]"),
                FuzzCases.Value("context_length", active, int.MaxValue, $"context_length[{active}]"),
                FuzzCases.Value("context_length", active, int.MinValue, $"context_length[{active}]"), FuzzCases.Value("position_ids", token, -1, $"position_ids[{token}]"),
                FuzzCases.Value("position_ids", token, long.MaxValue, $"position_ids[{token}]"),
                FuzzCases.Value("block_table", entry + used - 1, -1, $"block_table[{active}, {used - 1}]"),
            ]);
            if (IsSeen(active, 0))
            {
                spoilings.Add(FuzzCases.Value("block_table", entry, Pages, $"block_table[{active}, 0]"));
                spoilings.Add(FuzzCases.Value("block_table", entry, int.MinValue, $"block_table[{active}, 0]"));
            }

            if (used > 1 && IsSeen(active, 0))
            {
                spoilings.Add(FuzzCases.Value("block_table", entry, _table[entry + used - 1], "block_table["));  // the page of the last token twice
            }
        }

        return spoilings;
    }

    // Whether a new token of the sequence sees a key of that page.
    private bool IsSeen(int sequence, int column) => _streaming is not var (block, sinks, local) ||
        Enumerable.Range(column * _page, Math.Min(_page, _contexts[sequence] - (column * _page))).Any(
            key => key / block < sinks || key / block > ((_contexts[sequence] - _lengths[sequence]) / block) - local);
}
