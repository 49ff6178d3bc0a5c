using LongCat.ML.Engines;
using LongCat.ML.Models;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>Token ids.</summary>
internal sealed record TokenizeResult(int[] Ids) : RowResult;

/// <summary>Texts to token ids.</summary>
internal sealed class TokenizeStep : RowStep
{
    public const string StepName = "Tokenize";

    public TokenizeStep(TokenizeOptions options)
        : base(options) =>
        Outputs =
        [
            new StepColumn<TokenizeResult, VBuffer<int>>(
                options.OutputColumnName,
                SavedNames.Tokens,
                new VectorDataViewType(NumberDataViewType.Int32),
                (TokenizeResult result, ref VBuffer<int> value) => VectorWriter.Write(result.Ids, ref value)),
        ];

    public override string Name => StepName;

    public override ModelKind ModelKind => ModelKind.Tokenizer;

    public override IReadOnlyList<StepColumn> Outputs { get; }

    public override RowResult Empty { get; } = new TokenizeResult([]);

    public override Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken) =>
        Task.FromResult<RowResult>(new TokenizeResult(((ITextTokenizer)model).Encode(texts.First)));
}
