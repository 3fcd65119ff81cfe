import { render } from 'preact';
import { Root } from './frame';
import { sessionLoad } from './session';
import './style.css';

void sessionLoad();
render(<Root />, document.getElementById('root')!);
