namespace LongCat.ML.Checkpoints;

/// <summary>One entry of tokenizer.json's <c>added_tokens</c>: text that is found before anything else and becomes one id.</summary>
/// <param name="Id">The id.</param>
/// <param name="Content">The text.</param>
/// <param name="Special">Whether it is a control token rather than text (left out when special tokens are skipped).</param>
/// <param name="SingleWord">Found only where no word character touches it.</param>
/// <param name="StripLeft">Takes the white space before it in.</param>
/// <param name="StripRight">Takes the white space after it in.</param>
/// <param name="Normalized">Searched in the normalized text (and normalized itself) rather than in the text as given.</param>
internal sealed record AddedToken(int Id, string Content, bool Special, bool SingleWord, bool StripLeft, bool StripRight, bool Normalized);
